// Package files notices changes of files by their directories: the one TOML file,
// and pid files.
//
// What it decides: whether the content of the file has changed ([Watch] compares
// hashes; events only say when to compare).
//
// What it must never do: watch a file itself (an atomic save ends that watch), a
// directory below a mount of a group (such a watch ends unseen with the mount),
// or take an absent or unreadable file for an empty one.
//
// Who calls it: cmd for the configuration, observers for pid files.
package files
