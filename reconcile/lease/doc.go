// Package lease keeps this node's lease and is the only writer of claims.
//
// What it decides: whether this node's own deadline has passed, and whether a
// claim may be replaced ([Keeper.Take] checks lease, evidence and revision once
// more at the moment of writing, in one transaction).
//
// What it must never do: count a lease from the reply instead of the request,
// compare wall clocks of two hosts, wait behind a call that can hang, or trust a
// store's own notice that a session has ended.
//
// Who calls it: cmd builds a Keeper over a [Store] and runs it beside the loop;
// the loop reads its view and carries out TakeClaim, SignOff and the recording
// of a fence through it.
package lease
