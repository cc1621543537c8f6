//go:build !linux

package vmlab

import (
	"context"
	"fmt"
	"io"
)

// Verb fails on this system.
func Verb(_ context.Context, _ []string, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, "understudy: cannot make a lab of machines: not supported on this system — run it on Linux")
	return 1
}
