// Package mounts reads the mount table of this process's mount namespace.
//
// What it decides: nothing. [Table.Read] gives every line of
// /proc/self/mountinfo, or an error; there is no partial table.
//
// What it must never do: touch a mounted file system (stat and statfs hang on a
// dead server; mountinfo does not), take a table that changed while it was read,
// or drop a line that it does not understand.
//
// Who calls it: observers, once per look; [Watch] says when to look.
package mounts
