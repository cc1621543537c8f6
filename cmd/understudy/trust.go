package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"understudy/config"
)

// trust refuses files that somebody other than root could have written or put
// there: this program runs as root and runs what they say (design, section 9).
// Every folder on the way counts, by the name given and behind its links.
func trust(paths ...string) error {
	if os.Geteuid() != 0 {
		return nil // nothing is run for anybody else
	}
	for _, p := range paths {
		parts, err := onTheWay(p)
		if err != nil {
			return err
		}
		for _, part := range parts {
			info, err := os.Stat(part)
			if err != nil {
				return fmt.Errorf("cannot look at %s: %w", part, err)
			}
			st, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return fmt.Errorf("cannot tell who owns %s", part)
			}
			sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0
			if !ownsSystem(st.Uid) || info.Mode().Perm()&0o022 != 0 && !sticky {
				return fmt.Errorf("cannot trust %s (owner uid %d, mode %04o): it must be root's and nobody else may write to it — chown root %s; chmod go-w %s", part, st.Uid, info.Mode().Perm(), part, part)
			}
		}
	}
	return nil
}

// onTheWay are a file, every folder above it, and the same behind its links.
func onTheWay(p string) ([]string, error) {
	abs, err := filepath.Abs(p)
	if err != nil {
		return nil, fmt.Errorf("cannot tell where %s is: %w", p, err)
	}
	behind, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, fmt.Errorf("cannot look at %s: %w", p, err)
	}
	var parts []string
	for _, part := range []string{abs, behind} {
		for ; part != "/"; part = filepath.Dir(part) {
			if !slices.Contains(parts, part) {
				parts = append(parts, part)
			}
		}
	}
	return append(parts, "/"), nil
}

// shells run the file that their first argument names.
var shells = []string{"sh", "bash", "dash", "ksh", "perl", "python3"}

// onGroup reports whether a path lies on shared storage, which is not here until
// the group is: act looks at such a program when it starts it. A nil group has none.
func onGroup(g *config.Group, path string) bool {
	return g != nil && slices.ContainsFunc(g.Filesystems, func(f config.Filesystem) bool {
		return strings.HasPrefix(path, f.Mount+"/")
	})
}

// commands are the programs that a file names by path and that a node would run.
func commands(c *config.Config, node string) []string {
	var out []string
	program := func(g *config.Group, argv []string) {
		if len(argv) > 0 && filepath.IsAbs(argv[0]) && !onGroup(g, argv[0]) {
			out = append(out, argv[0])
		}
		// A script handed to a shell is run as much as the shell is.
		if len(argv) > 1 && slices.Contains(shells, filepath.Base(argv[0])) && filepath.IsAbs(argv[1]) && !onGroup(g, argv[1]) {
			out = append(out, argv[1])
		}
	}
	application := func(g *config.Group, a *config.Application) {
		program(g, a.Run)
		program(g, a.Start)
		program(g, a.Stop)
		for _, p := range a.Probes {
			program(g, p.Command)
		}
		for _, r := range a.Requirements {
			if _, err := os.Lstat(r.Command[0]); !errors.Is(err, fs.ErrNotExist) { // absent: the software is not installed, and is said to be
				program(g, r.Command)
			}
		}
	}
	for i := range c.Groups {
		if c.Groups[i].Priority(node) < 0 {
			continue
		}
		for k := range c.Groups[i].Applications {
			application(&c.Groups[i], &c.Groups[i].Applications[k])
		}
	}
	for i := range c.Services {
		if slices.Contains(c.Services[i].Nodes, node) {
			application(nil, &c.Services[i].Application)
		}
	}
	for i := range c.Hooks {
		if h := &c.Hooks[i]; slices.Contains(h.Nodes, node) {
			program(c.Group(h.Group), h.Command)
		}
	}
	for _, n := range c.Nodes {
		for _, f := range n.Fences {
			if filepath.IsAbs(f.Agent) {
				out = append(out, f.Agent)
			}
		}
	}
	return out
}
