// Package addrs reads the network interfaces of this process's network
// namespace and every address on them.
//
// What it decides: nothing. [Read] gives all links and all addresses of one
// moment, or an error; there is no partial list.
//
// What it must never do: build its answer from change messages (they are
// dropped when the kernel's buffer overflows), or take an interrupted listing.
//
// Who calls it: observers, once per look; [Watch] says when to look.
package addrs
