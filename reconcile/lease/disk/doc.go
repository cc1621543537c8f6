// Package disk keeps the lease store on a small part of a disk that every node
// reaches, and on nothing else: two nodes and their shared storage suffice.
//
// What it decides: who is first, where two nodes write at once; whether a lease has
// ended; whether a boot has been still for so long that its watchdog has reset it.
//
// What it must never do: write into another node's slot; take a block that does not
// pass its checksum for an empty one; compare the wall clocks of two hosts; make a
// caller wait for a disk that hangs; have two calls of one process under way at the
// device; write again after it has found that somebody else writes its slot.
//
// Who calls it: cmd makes a [Client] and gives it to a lease.Keeper as any other
// [lease.Store]; `understudy disk` calls [Format] and [Inspect].
//
// # What is assumed of the disk
//
//   - A write of 4 KiB that is under way, or was broken off, may leave the old bytes,
//     the new ones, or any mixture. A mixture does not pass HMAC-SHA-256.
//   - A write that has returned (O_DIRECT, O_DSYNC) survives a power cut, and every
//     read of any host that begins later sees it or a later one.
//   - A write of a host that has booted since, or of an earlier opening, does not
//     arrive after two more incarnations of that node have joined (each joins the
//     other of its two slots, and carries on what it finds in it).
//
// Bytes rot, and disks lie. Where that can be told, the store stops: a slot of which
// no copy passes is [ErrDamaged] and nothing is decided; a slot of one's own that is
// not as it was written is [ErrClash]. Whoever has the cluster's key and can write
// the disk can do everything.
//
// # The layout
//
// One header; then the first blocks of all copies of all slots; then what did not
// fit into those. Every node has two slots, used in turn by its incarnations (one
// process's opening of the device). Every slot has two copies, written in turn: never
// the one that is known to be whole. A look is one read of the header and all first
// blocks. Each block carries the slot's number, a sequence, and a MAC with a key made
// of the cluster's secret, its name and the random id of the device, so that a block
// of another place, disk, cluster or time before the last `disk init` does not pass.
//
// # The algorithm
//
// The state (claims, live leases, fences, confirmations, requests) is one value. It
// is changed by ballots: Disk Paxos (Gafni and Lamport, Distributed Computing 16,
// 2003) on one disk, with the rewritable register of CASPaxos (Rystsov, 2018) in the
// place of a log. Slot p holds begun(p), voted(p) ≤ begun(p) and value(p). Ballots of
// different slots differ.
//
//  1. Choose b above all ballots seen. Write begun(p) = b. Look. If any begun(q) > b,
//     begin again. Let v be the value with the highest voted, one's own among them.
//  2. Write voted(p) = b, value(p) = f(v). Look. If any begun(q) > b, begin again.
//     Else f(v) is chosen at b. Write that it is.
//
// Why it is right. Let f(v) be chosen at b, and let q vote at some b' > b. When p
// looked in step 2, begun(q) was less than b', so q's write of begun(q) = b' came to
// its end after that look began, and so after p's vote was on the disk. q looked
// after that write, so it saw p's vote at b or one at a higher ballot. By induction
// over ballots, every vote above b has a value that comes from f(v). The two looks
// need not be atomic: only the order of one write and one read of each pair is used.
// So chosen values form one chain, and every change is made once to the latest one.
//
// A ballot that was overtaken after its vote may still be taken over by another.
// Every change therefore leaves its number in the value (done): when the next ballot
// finds it, it has been made; when it does not, it can never be, once that ballot is
// chosen, since all later values come from it. An answer like ErrChanged is given
// only after the state for which it was given has been chosen in this way.
//
// A read is one look. Let b be the highest ballot voted in it. If its block says that
// it is chosen, the state is its value: whatever was chosen before the look began is
// on the disk, has a ballot not above b, and b's value comes from it. Otherwise a
// ballot is under way, or was left: it is waited for a little, and then a ballot with
// f(v) = v settles it. A vote that is seen but not known to be on the disk is never
// an answer.
//
// # Leases
//
// A lease is an entry of the value and ends only by a ballot. It is renewed by one
// write of the holder's own slot, a beat, and one look after it; the renewal counts if the look
// shows the lease in a chosen state and no ballot begun above it. Otherwise it is
// settled by a ballot. Whoever has seen no beat for a ttl, by its own monotonic clock
// and in looks that follow each other closely, ends the lease by a ballot, unless the
// look after that ballot was begun shows a new beat. So a renewal that counted was on
// the disk before the ballot began, and the ballot sees it: no lease ends less than a
// ttl after the last renewal that counted. A holder counts from the sending, which is
// earlier, and stops by a margin earlier still.
//
// A holder that was frozen finds its lease gone when it wakes: its beat renews
// nothing, and its votes are below what others have begun since. What it writes falls
// into its own slot only.
//
// # Silence as evidence
//
// Where every node must have a watchdog, a boot without a lease that has been still
// for the ttl and for the watchdog bound is listed as outlasted ([Outlasted]). The
// last renewal that counted was sent before its beat was seen; bound later the host
// has been reset, or holds nothing. The time is counted from the look that first
// showed the last beat, or, by a node that has not seen it, from its own first look
// that showed that the lease had ended: it could not be renewed after that. A gap in
// the watch begins it anew.
//
// The bound is the holder's own word, beside each of its beats: it may run with another
// file than this node, and its watchdog may be armed late, or be dead. A slot without
// one is no evidence, whatever the file here says; the longer of its word and of the
// file here counts. What is declared holds from the beat on that declares it: a holder
// whose watchdog has died says so with its next one.
package disk
