// Package site makes the changes that reconcile/prepare has planned to the files of
// this host, or of a system whose files lie in a folder.
//
// What it decides: nothing. [Do] makes one change and looks whether it is there.
//
// What it must never do: leave half a file (every file is written beside the old one,
// synced, and put in its place in one step), change what it was not told to (other
// lines, owner and mode stay), replace a key, or remove anything but a link.
//
// Who calls it: cmd, for `prepare --apply`.
package site
