// Package fsm is the state machine of one node in one group: four roles, and
// one total table that says which role follows which, with a sentence per row.
//
// What it decides: [Next]. Role and event in, role and reason out, nothing else
// read and nothing done.
//
// What it must never do: act, wait, remember, or read anything but its
// arguments. What a role implies for the host is the business of reconcile.
//
// Who calls it: reconcile, on every pass, with the one event that
// reconcile.Classify computed from the present snapshot. Events are levels, not
// edges: "held" means the claim is ours now, not that it was won a moment ago.
package fsm
