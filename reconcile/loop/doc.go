// Package loop is the one event loop of a node: look, decide, act, look again.
//
// What it decides: only when. A pass begins on any trigger, on the lease's
// deadline and on a slow tick; what to do comes from reconcile.Decide. At most
// one plan of a group is in flight; it is cancelled the moment its goal or the
// lease is gone, and a new one begins only when it has returned.
//
// What it must never do: hold state outside its one goroutine, wait for a step,
// begin a step on shared storage without a lease that outlives its needs, or
// take a step's exit for its effect: the next look is the judge.
//
// Who calls it: cmd, with an Observer, an Actor, a Lease and a Journal.
package loop
