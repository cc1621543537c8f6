//go:build linux

package standin

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Programs are what a host's installation consists of: the commands in /usr/bin
// and the daemons below /opt/dcelocal/bin.
func Programs() []string {
	var paths []string
	for name := range commands {
		paths = append(paths, "/usr/bin/"+name)
	}
	for name := range daemons {
		paths = append(paths, binDir+"/"+name)
	}
	slices.Sort(paths)
	return paths
}

const binDir = "/opt/dcelocal/bin"

// command is a program that ends. Its error is what it says on standard error.
type command func(s *site, args []string) error

var commands = map[string]command{
	"config.dce": configDCE,
	"start.dce":  startDCE,
	"stop.dce":   stopDCE,
	"start.dfs":  startDFS,
	"stop.dfs":   stopDFS,
	"dcecp":      dcecp,
	"rpccp":      rpccp,
	"cdscp":      cdscp,
	"bos":        bos,
}

// Dispatch runs one of the programs when args, which is [os.Args], names it. hold
// keeps descriptors open until the host's power goes.
func Dispatch(args []string, hold func(...*os.File) error) (handled bool, exit int) {
	name := filepath.Base(args[0])
	run, isCommand := commands[name]
	d, isDaemon := daemons[name]
	if !isCommand && !isDaemon {
		return false, 0
	}
	s := &site{program: name, hold: hold}
	var err error
	if isCommand {
		err = run(s, args[1:])
	} else {
		err = d.run(s, args[1:])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s (stand-in): %v\n", name, err)
		return true, 1
	}
	return true, 0
}
