//go:build linux

package lab

import (
	"os"
	"path/filepath"

	"understudy/cmd/internal/lab/standin"
)

// Dispatch runs one of a lab's own processes when args, which is [os.Args], asks
// for it, and returns what to exit with. The program calls it before anything
// else: some of these processes are process 1 of a pid namespace.
func Dispatch(args []string) (handled bool, exit int) {
	if len(args) == 0 {
		return false, 0
	}
	if filepath.Base(args[0]) == "fence_lab" {
		return true, fenceEntry(args[1:])
	}
	if onHost() {
		if handled, exit := standin.Dispatch(args, holdInKernel); handled {
			return true, exit
		}
	}
	if len(args) < 2 {
		return false, 0
	}
	switch rest := args[2:]; args[1] {
	case "lab-supervisor":
		return true, supervisorMain()
	case "lab-caretaker":
		return true, caretakerMain(rest)
	case "lab-init":
		return true, initMain(rest)
	case "lab-app":
		return true, appMain(rest, os.Stderr)
	case "lab-log":
		return true, logMain(rest, os.Stderr)
	case "lab-writer":
		return true, writerMain(rest, os.Stderr)
	case "lab-client":
		return true, clientMain(rest, os.Stderr)
	case "lab-fence":
		return true, fenceEntry(rest)
	}
	return false, 0
}

// onHost reports whether this process runs on a host of a lab: no other place has
// a port to the power controller.
func onHost() bool {
	info, err := os.Lstat(socketsInside + "/" + powerSocket)
	return err == nil && info.Mode()&os.ModeSocket != 0
}
