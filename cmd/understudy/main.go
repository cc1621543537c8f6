// Understudy keeps a stateful service on shared storage running on exactly one
// machine. See README.md for what it is, and `understudy help` for its verbs.
//
// This package is the only place where the parts are put together: run.go builds
// the resident service, lab.go a cluster of namespaces; every other file is one
// verb, which asks the resident service or reads the file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
	"understudy/cmd/internal/vmlab/guest"
)

func main() {
	for _, dispatch := range []func([]string) (bool, int){lab.Dispatch, guest.Dispatch} {
		if handled, code := dispatch(os.Args); handled {
			os.Exit(code)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes of the contract.
const (
	exitOK       = 0 // done, or nothing to do
	exitFailed   = 1
	exitUsage    = 2
	exitNotEmpty = 3 // `plan --exit-code` found steps
	exitBlocked  = 4
)

// exitError is an error with an exit code of its own; an empty text prints
// nothing.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

// run carries out one command line. Results go to stdout, all else to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailed
	if e, ok := errors.AsType[*exitError](err); ok {
		code = e.code
	}
	if e, ok := errors.AsType[*api.Refusal](err); ok {
		code = e.Code
	}
	if err.Error() != "" {
		fmt.Fprintln(stderr, "understudy:", err)
	}
	return code
}
