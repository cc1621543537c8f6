// Package prepare compares what a node must have before its first start with what
// was seen there: mount points, files of the system, links, programs, the steps that
// a person must do (guide, "Integration of DCE and DFS with HACMP").
//
// What it decides: what to look at ([Asks]), and for each demand whether it is met,
// which change meets it, or why none of ours does ([Items]). It also edits the text
// of the files it knows, so that what is done is what was planned.
//
// What it must never do: read or change anything, take what could not be read for
// absent, or turn an operator's step (installing and configuring DCE) into one of its
// own.
//
// Who calls it: cmd, for `prepare` and `check --host`; observers/site fills in the
// Facts, reconcile/act/site carries the changes out.
package prepare
