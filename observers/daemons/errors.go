package daemons

import "errors"

// errGone says that a process has ended, which is an answer and not a failure.
var errGone = errors.New("the process has ended")

// errNoProgram says that a process has no executable: a kernel thread, or a
// process that has ended and not been reaped.
var errNoProgram = errors.New("the process runs no program")
