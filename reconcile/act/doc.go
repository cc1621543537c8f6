// Package act carries out the steps of package reconcile on this host.
//
// What it decides: nothing about who should own what. For each step it looks
// whether the step is done already, whether its precondition holds, does it, and
// looks again. Done already is success, so that every step may be repeated after
// a crash. A step that cannot be proved to have worked has failed.
//
// What it must never do: unmount lazily or by force, signal a process it has not
// identified by pid and start time, signal itself, process 1 or its own parents,
// delete a file that does not lie on the declared mount, take a reading that
// failed for "absent", hang its caller, or print a secret. A call that the kernel
// does not return from is left behind in a goroutine of its own, reported as
// still hanging, and not repeated while it hangs.
//
// Who calls it: reconcile/loop, one step at a time and in the order of the plan,
// and cmd for `apply`. [Host.Run] belongs beside the loop: it repeats the
// announcements of the service addresses that are here.
//
// On AIX the steps on storage, addresses and the host name are those of act/aix; what
// is weaker there is named at its functions.
package act
