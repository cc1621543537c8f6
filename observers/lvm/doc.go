// Package lvm looks at volume groups of the Logical Volume Manager (lvm(8)):
// which of their logical volumes are usable on this host, which host their
// metadata names as the owner (lvmsystemid(7)), and whether something else than
// understudy would switch them on.
//
// What it decides: what LVM's reports and the kernel's list of mapped devices
// mean, and when a report is too old to be used.
//
// What it must never do: change anything, wait for a program that hangs on a dead
// path, pile such programs up, call a volume group inactive because a report of it
// could not be had, or read reports that are made from the hints of an earlier
// command (see [Settings]).
//
// Who calls it: observers for the snapshot; reconcile/act for its own looking
// before and after a step; cmd for `check --host` and `prepare`.
package lvm
