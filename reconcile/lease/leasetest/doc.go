// Package leasetest holds a lease store in memory and the tests every store
// passes.
//
// What it decides: [Conformance] says what lease.Store promises; [Store] keeps
// the promises in one process, with links that delay, lose and repeat nothing,
// and it knows when each lease ends, which a test of a keeper needs.
//
// What it must never do: be kinder than a real store. A request that its caller
// has given up still arrives, and a lost reply hides what was done.
//
// Who calls it: tests of lease, of reconcile/loop and of every real store.
package leasetest
