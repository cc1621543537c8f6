// Package vmlab makes a lab of real machines: two or more guests with Debian's own
// kernel under qemu, with private networks, disks that they share, watchdogs and a
// power controller. They run understudy itself, and show what namespaces of one
// kernel cannot: LVM, power cuts, panics, stopped clocks, reservations of a disk.
//
// What it decides: how a guest is built and started, which frames its networks
// carry, and in what order a scenario does things and looks for proof.
//
// What it must never do: say that a guest is off before its qemu has ended and was
// waited for, let a guest outlive the lab, reach another network or disk than the
// lab's own, or write outside of its cache and the lab's folder.
//
// Who calls it: `understudy lab vm SCENARIO`. The guest's side is package guest, in
// the same program: it is the guest's process 1.
package vmlab
