// Package trigger turns what a kernel can signal through a file descriptor into
// one thing: "look again".
//
// What it decides: nothing. A [Trigger] holds one mark at most; marks that meet
// a waiting mark merge. [File] fires when a pollable file of proc(5) changes,
// [Exit] when a process ends.
//
// What it must never do: carry data, block the one who fires, or keep a thread
// or a process busy while nothing happens.
//
// Who calls it: the other packages of observers.
package trigger
