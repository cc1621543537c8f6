// Package daemons finds the processes of the applications of the file on this
// host, notices their end, and runs the applications' probes.
//
// What it decides: which processes match a daemon's declaration ([Reader]), and
// whether the last probe of a running application was good ([Prober]).
//
// What it must never do: take a process it could not read for an absent one,
// count a zombie, know a process by its pid alone, or run two probes of one
// application at once. It starts and ends nothing but probes.
//
// Who calls it: observers, once per look; [Exits] and [Prober] say when to look.
package daemons
