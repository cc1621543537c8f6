package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"understudy/config"
)

// trust refuses files that somebody other than root could have written: this
// program runs as root and runs what they say (design, section 9).
func trust(paths ...string) error {
	if os.Geteuid() != 0 {
		return nil // nothing is run for anybody else
	}
	for _, p := range paths {
		for _, part := range []string{p, filepath.Dir(p)} {
			info, err := os.Stat(part)
			if err != nil {
				return fmt.Errorf("cannot look at %s: %w", part, err)
			}
			st, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return fmt.Errorf("cannot tell who owns %s", part)
			}
			sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0
			if st.Uid != 0 || info.Mode().Perm()&0o022 != 0 && !sticky {
				return fmt.Errorf("cannot trust %s (owner uid %d, mode %04o): it must be root's and nobody else may write to it — chown root %s; chmod go-w %s", part, st.Uid, info.Mode().Perm(), part, part)
			}
		}
	}
	return nil
}

// commands are the programs that a file names by path.
func commands(c *config.Config) []string {
	var out []string
	for _, g := range c.Groups {
		for _, a := range g.Applications {
			for _, argv := range [][]string{a.Run, a.Start, a.Stop, a.Probe} {
				if len(argv) > 0 && filepath.IsAbs(argv[0]) {
					out = append(out, argv[0])
				}
			}
		}
	}
	for _, n := range c.Nodes {
		if n.Fence != nil && filepath.IsAbs(n.Fence.Agent) {
			out = append(out, n.Fence.Agent)
		}
	}
	return out
}
