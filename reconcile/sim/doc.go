// Package sim searches for two owners, for lost writes, and for a service that
// does not come back. Its tests run the real loop, lease, reconcile and watchdog code
// of every node in virtual time on a world in memory: hosts that crash, freeze and
// reboot at any moment, networks that lose, delay, repeat and reorder, a store that
// cannot be reached, or the real one on a disk with sectors that tear, fences that
// fail, hang, act late or lie, file systems that stay busy, looks that cannot read,
// people who give orders, and a client that writes all the time. Every chance
// follows from one number, the seed, and from the moment, and everything of a host has a
// moment of its own: a run is made again exactly, but for the rare case in which the
// machine stops one of two goroutines that have something to do at one moment. A seed
// that fails prints what happened as a person can read it.
//
// What it decides: nothing. It holds that at most one host has a device, a claim is
// held by whoever acts on it, what it was taken on is so, no acknowledged write is
// lost, orders and budgets are kept, and a healthy cluster serves within a bound; and
// that a lie does no more than a lie can do.
//
// What it must never do: know better than the code under test. The world carries
// out steps and lets faults happen; it takes no decision of a node.
//
// Who calls it: its own tests. A short search runs with every test; a long one is
// `go test ./reconcile/sim -run Simulation -seeds 10000 -timeout 0`, with -book FILE for
// what has failed so far, and -kind disk for one kind of cluster. That it would find
// something is shown by bugs planted into the real source:
// `go test ./reconcile/sim -run Planted -planted all -v -timeout 0`.
package sim
