// Package peers exchanges keep-alives with every other machine of the file and
// says which of them are heard.
//
// What it decides: the [reconcile.PeerState] of each machine ([table.judge] is a
// function of what was heard and the time), and which packets count. A packet
// counts if its HMAC-SHA256 is right, it belongs to the session of that machine
// that is in force, and its sequence number is newer than the last one on that
// network. A session (boot id and incarnation) comes into force only by
// answering a fresh random challenge, and another boot of a machine only when
// the present one has fallen silent; so neither a replayed packet nor a second
// machine of the same name can make a dead node look alive or bring an old boot
// id back. What remains: packets of the session in force that somebody on the
// wire holds back can be delivered late, each once and in order.
//
// What it must never do: take silence for death, compare clocks of two machines,
// count silence that passed while this process did not run, declare silence
// while packets wait in a socket, or end because of a socket error.
//
// Who calls it: cmd builds one for `run` and one for `witness`; observers puts
// what it says into the snapshot, and the loop gives it this node's status.
package peers
