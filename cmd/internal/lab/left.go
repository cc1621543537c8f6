//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Left finds everything that a lab of this name, with its files in dir, could
// leave on the machine: files, cgroups, loop devices, mounts and processes. It is
// empty when there is nothing.
func Left(name, dir string) []string {
	if name == "" {
		name = "demo"
	}
	if dir == "" {
		dir = filepath.Join("/var/lib/understudy-lab", name)
	}
	var left []string
	for _, path := range []string{runDir(name), dir, labCgroup(name)} {
		if path == "" {
			continue
		}
		if _, err := os.Lstat(path); err == nil {
			left = append(left, "file "+path)
		}
	}
	backs, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range backs {
		if b, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(b), dir+"/") {
			left = append(left, "loop device "+f+" of "+strings.TrimSpace(string(b)))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		left = append(left, "mounts unknown: "+err.Error())
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, runDir(name)+"/") || strings.Contains(line, dir+"/") {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		b, err := os.ReadFile(filepath.Join(p, "mountinfo"))
		if err != nil {
			continue // it ended meanwhile
		}
		cmd, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		argv := strings.Split(strings.TrimSuffix(string(cmd), "\x00"), "\x00")
		log, _ := os.Readlink(filepath.Join(p, "fd/1")) // the supervisor's, and its hosts', are in dir
		if strings.HasPrefix(log, dir+"/") || len(argv) == 5 && argv[1] == "lab-caretaker" && argv[2] == name ||
			strings.Contains(string(b), runDir(name)+"/") || strings.Contains(string(b), dir+"/") {
			left = append(left, fmt.Sprintf("process %s %q", filepath.Base(p), argv))
		}
	}
	return left
}
