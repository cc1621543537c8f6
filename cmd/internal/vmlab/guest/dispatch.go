//go:build linux

package guest

import (
	"os"
	"path/filepath"
	"slices"
)

// Program is where the guest has this program.
const Program = "/usr/local/sbin/understudy"

// fenceName is the name under which this program is the lab's fence agent.
const fenceName = "fence_vmlab"

// Arguments are those of process 1 and of the agent.
var (
	InitArguments  = []string{"lab", "vm", "guest"}
	agentArguments = []string{"lab", "vm", "agent"}
)

// Dispatch does the guest's part if args are of one, and reports whether they were.
func Dispatch(args []string) (handled bool, code int) {
	switch {
	case len(args) > 0 && filepath.Base(args[0]) == fenceName:
		return true, fence(os.Stdin, args[1:], os.Stdout, os.Stderr, ask)
	case os.Getpid() == 1 && len(args) > 3 && slices.Equal(args[1:4], InitArguments):
		boot()
		return true, 1
	case len(args) == 4 && slices.Equal(args[1:], agentArguments):
		return true, agent()
	}
	return false, 0
}
