// Package standin stands in for DCE and DFS on the hosts of a lab. It is none of
// their code: it is programs with their names, files and daemons at their
// places, and their habits as far as a cluster manager meets them.
//
// It decides nothing. `start.dce` starts daemons that bind port 135, keep an
// endpoint map in a file and register what they serve on every address they are
// not told to keep off; `stop.dce` ends them; `start.dfs` lets the kernel take
// hold of the disks for as long as the host is up. What they were called with is
// appended to a log on the shared disk, and they misbehave on demand: see
// [Faults].
//
// It must never run outside a lab, and never be taken for a test of DCE itself.
//
// It is called by package lab, whose program runs under these names on a host.
package standin
