// Package scsi talks to SCSI disks about their persistent reservations (SPC-4, 5.13,
// 6.15 and 6.16), and finds the disks and paths below a block device.
//
// What it decides: what a command is in bytes, what an answer says, which disks lie
// below a device, and which of the kernel's block devices are paths to one disk.
//
// What it must never do: read or write a block of data, take an answer that is not as
// documented for one, or take silence for an answer.
//
// Commands go through SG_IO (sg(4)) to the block device of each path. The kernel's own
// interface (IOC_PR_REGISTER and others, linux/pr.h) cannot read keys before Linux 7.0,
// insists on reservations that outlive a power cut of the disk (APTPL), which not every
// disk has, and hides which of several paths an answer came from. SG_IO has none of
// these limits and works on every kernel in use. No library for Go does this: those
// that there are run sg_persist and read its text.
//
// NVMe has the same model with other commands; it is not done here, and a device that
// is not SCSI is an error.
//
// Who calls it: package observers to look, reconcile/act to reserve, and `understudy
// check --host`.
package scsi
