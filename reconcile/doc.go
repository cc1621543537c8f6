// Package reconcile decides what a host must do, and does none of it.
//
// What it decides: [Classify] turns a [Snapshot] into the one event fsm is
// offered; [Want] says what a role implies; [Diff] gives the ordered [Plan] of
// typed steps from what is to what should be, with a reason for each step and
// for everything that blocks. [Simulate] runs the same functions for every node
// on a model of the cluster, which is how `plan --what-if` knows.
//
// What it must never do: I/O, read a clock, start a goroutine, order anything by
// map iteration, touch what the file does not name, or take unknown for absent.
//
// Who calls it: reconcile/loop on every pass, and cmd for `plan` and `apply`.
// Both go through Diff: the plan printed is the plan run.
package reconcile
