// Package site looks at what a node must have before its first start: files of the
// system, links, programs, names, versions.
//
// What it decides: nothing. [Look] reads what reconcile/prepare asks for, each reading
// with its own reason if it failed.
//
// What it must never do: change anything, take an error for absence, read a file that
// is too large to be what it should be, or let a command run longer than its limit.
//
// Who calls it: cmd, for `prepare` and `check --host`, and now and then for what a
// node tells the others of itself.
package site
