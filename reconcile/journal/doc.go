// Package journal is what one node saw, decided and did, kept through a crash;
// and the small files in which a node remembers.
//
// What it decides: how a record lies on disk (one line: CRC32C, blank, JSON),
// when a file is full and the next begins, and what is done with bytes that are
// no record: they are moved aside or skipped, and a note says so.
//
// What it must never do: stop the service because it cannot write. A record that
// finds no room waits in memory and [Journal.State] says so. It interprets no
// record, loses none without saying so, and starts no goroutine.
//
// Who calls it: reconcile/loop and reconcile/act write; cmd reads for `why` and
// `history`, from the running program or, with [Read], from the files alone.
package journal
