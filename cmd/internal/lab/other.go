//go:build !linux

package lab

import (
	"context"
	"fmt"
	"io"
)

// Dispatch handles the hidden arguments of a lab's own processes; there are none
// on this system.
func Dispatch([]string) (handled bool, exit int) { return false, 0 }

// Verb is `understudy lab …`, which needs Linux namespaces.
func Verb(_ context.Context, _ []string, _ io.Reader, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, "understudy: cannot make a lab: not supported on this system — run it on Linux")
	return 1
}
