// Package aix carries out on AIX, by AIX's own commands, the steps for which Linux
// has calls into its kernel: volume groups, mounts, addresses, the host name, and
// the deletion of files beneath a mount.
//
// What it decides: nothing about who should own what; see package act. Where AIX
// offers less than Linux, the weaker thing is done and named at its function: no
// exclusive open of a device (the volume group is varied off instead), no ARP probe
// of our own (ping, and then the ARP table), no announcement of our own (the kernel
// sends one when an address is configured), no signal to a process by a handle (its
// start is compared right before).
//
// What it must never do: what package act must not, and force anything: no
// varyonvg -f, -b or -O, no umount -f, no fuser -k, which would also kill those
// that nobody has looked at. It holds no build tag, so that it is tested with
// recorded conversations elsewhere; nobody has run it on AIX yet.
//
// Who calls it: package act, on AIX.
package aix
