// Package observers looks at this host and at the other machines, and makes one
// [reconcile.Snapshot] of what it sees.
//
// What it decides: when it is worth while to look again ([Host.Changes]), and
// nothing else.
//
// What it must never do: give an empty list for something it could not read (a
// failed or hanging reading is a reconcile.Seen with the reason), use the content
// of a change message, wait longer than its limit, or change anything.
//
// Who calls it: reconcile/loop through Host; cmd builds the Host, and uses one
// without Run for commands that look once.
package observers
