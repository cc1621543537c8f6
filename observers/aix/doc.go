// Package aix reads an AIX host through the commands that AIX has for it, and
// through the files of its /proc.
//
// What it decides: nothing. Each Parse function reads what one command prints;
// [System] runs the commands and makes of them what the rest of the program
// knows: mounts, links, addresses, processes, volume groups, the boot. The package
// holds no build tag, so that all of it is tested with recorded output elsewhere.
//
// What it must never do: take a line it does not understand for one that says
// nothing, take a command that failed for one that printed nothing, let the
// language or time zone of the caller change what a command prints, or change
// anything on the host. It was written from IBM's reference and from output that
// others published; nobody has run it on AIX yet.
//
// Who calls it: the observers and package act/aix, on AIX.
package aix
