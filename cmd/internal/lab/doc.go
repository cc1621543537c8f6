// Package lab is a cluster on one machine: hosts made of namespaces, two
// networks, shared disks, a power controller with faults, an application and a
// client that tells what it saw.
//
// It decides nothing about ownership. It boots hosts, takes their power, pulls
// their cables and freezes them as a test or a person asks, and it keeps watch:
// a shared file system live on two hosts at once, or a service address on two
// hosts at once, is recorded with its times, whoever caused it.
//
// It must never touch the machine beneath: nothing of it is in the machine's own
// network namespace or mount table, a host cannot reach the machine's
// sysrq-trigger, and nothing is left when a lab ends, however it ends. One
// supervisor process owns a whole lab: its hosts die with it (PR_SET_PDEATHSIG
// and pid namespaces), its bridges live in its own network namespace, its loop
// devices clear themselves, and a caretaker removes its files.
//
// It is called by `understudy lab …`, and by tests through [Up]. Whoever links it
// calls [Dispatch] first thing in main, because a lab runs its own binary again
// for its supervisor, for process 1 of every host, and for what runs there.
package lab
