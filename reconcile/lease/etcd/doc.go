// Package etcd keeps claims and leases in etcd: in a member that runs inside
// this process, or in a cluster that exists already. It is the only importer of
// go.etcd.io.
//
// What it decides: how claims, live entries and evidence lie in etcd's keys,
// which transaction makes each change atomic, how the embedded member is set up,
// over which network it speaks to its peers, and which member the raft leader
// should be.
//
// What it must never do: skip an fsync, serve a peer that does not prove the
// cluster's key, end the process when its disk fails, or let a call outlive its
// context.
//
// Who calls it: cmd starts a [Member] or a [Client] and gives its Store to a
// lease.Keeper; it tells the Member which networks work (SetUsable). `witness`
// runs a Member and nothing else.
package etcd
