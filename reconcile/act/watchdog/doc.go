// Package watchdog resets this host when it holds something and can not prove
// that it may: a feeder on a thread of its own feeds a watchdog device as long as
// a deadline, one value on the clock that goes on in suspend, lies ahead.
//
// What it decides: what that deadline is. Nothing is held: there is none. Something
// is held: the lease's own deadline, and the declared time to let go. The lease is
// gone, or a claim is another's: it does not move any more.
//
// What it must never do: feed a device for a deadline that has passed, also not by
// opening it again; switch one off while something is held, unless that is declared;
// take a device for armed that does not count; and in the feeder's loop wait for
// anything, allocate, log, or touch a disk.
//
// Who calls it: cmd arms it before the loop's first pass and closes it behind its
// last; the loop asks it before every step on shared storage, and tells it after
// every pass what is held here.
package watchdog
