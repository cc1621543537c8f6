//go:build linux

package standin

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// dfsDaemons are those of a File Server Machine with the fileset database and of
// a System Control Machine, in the order of OSF's rc.dfs.
var dfsDaemons = []string{"bosserver", "flserver", "ftserver", "upserver", "dfsbind", "fxd", "dfsd"}

// startDFS is /usr/bin/start.dfs. It needs DCE, exports the aggregates of dfstab
// and starts the daemons. From then on the kernel holds the aggregates and the
// file system that DFS works on, and no program can take them from it: that is
// why the host must be rebooted before they go to another (guide, "DFS
// Reintegration Actions").
func startDFS(s *site, _ []string) error {
	if err := configured(); err != nil {
		return err
	}
	s.began("")
	switch {
	case s.fault("hang"):
		untilTerm(false)
		return errors.New("ended by a signal")
	case s.fault("nothing"):
		return nil
	}
	if err := ping("security"); err != nil {
		return fmt.Errorf("DCE must be up before DFS: %w", err)
	}
	files, err := kernelFiles()
	for _, f := range files {
		defer f.Close()
	}
	if err != nil {
		return err
	}
	if err := s.hold(files...); err != nil {
		return err
	}
	for _, name := range dfsDaemons {
		if err := s.launch(name); err != nil {
			return err
		}
		if s.fault("half") {
			return nil
		}
	}
	s.log("done, the kernel holds %s", names(files))
	return nil
}

// kernelFiles are what the kernel parts of DFS have open: each aggregate,
// exclusively, and their own directory.
func kernelFiles() ([]*os.File, error) {
	var files []*os.File
	b, err := os.ReadFile(dfsTab)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		w := strings.Fields(line)
		if len(w) == 0 || strings.HasPrefix(w[0], "#") {
			continue
		}
		f, err := os.OpenFile(w[0], os.O_RDWR|unix.O_EXCL, 0)
		if err != nil {
			return files, fmt.Errorf("cannot export an aggregate: %w", err)
		}
		files = append(files, f)
	}
	dir, err := os.Open(dfsDir)
	if err != nil {
		return files, err
	}
	return append(files, dir), nil
}

func names(files []*os.File) string {
	var all []string
	for _, f := range files {
		all = append(all, f.Name())
	}
	return strings.Join(all, ", ")
}

// stopDFS is /usr/bin/stop.dfs. It ends the daemons; the kernel keeps what it
// holds.
func stopDFS(s *site, _ []string) error {
	s.began("")
	order := slices.Clone(dfsDaemons)
	slices.Reverse(order)
	var errs []error
	for _, name := range order {
		errs = append(errs, stop(name))
	}
	if err := errors.Join(errs...); err != nil {
		s.log("failed: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
		return err
	}
	s.log("done, the kernel keeps what it holds")
	return nil
}

// bos is the basic overseer's control program: bos status.
func bos(*site, []string) error {
	if len(running("bosserver")) == 0 {
		return errors.New("no bosserver runs")
	}
	fmt.Println("Instance ftserver, currently running normally.")
	return nil
}
