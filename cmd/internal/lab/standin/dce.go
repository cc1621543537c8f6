//go:build linux

package standin

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// startDCE is /usr/bin/start.dce: it starts what is configured, in the order of
// OSF's rc.dce, and logs the host into the cell. Its log line says what it found
// of an earlier life: endpoints in the map, credentials.
func startDCE(s *site, _ []string) error {
	if err := configured(); err != nil {
		return err
	}
	names, err := components()
	if err != nil {
		return err
	}
	s.began(left())
	switch {
	case s.fault("hang"):
		untilTerm(false)
		return errors.New("ended by a signal")
	case s.fault("nothing"):
		return nil
	}
	for _, name := range names {
		if err := s.launch(name); err != nil {
			return err
		}
	}
	if err := login("dcecred_41200001"); err != nil {
		return err
	}
	s.log("done")
	return nil
}

// left describes the transient files.
func left() string {
	endpoints := "none"
	if b, err := os.ReadFile(mapFile); err == nil {
		endpoints = fmt.Sprint(bytes.Count(b, []byte("\n")))
	}
	return fmt.Sprintf("endpoints=%s creds=%d", endpoints, len(credentials()))
}

// login leaves the files of a login context: the cache, and what goes with it.
func login(context string) error {
	for _, path := range []string{context, context + ".data", ".lock/" + context} {
		path = filepath.Join(credsDir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte("a ticket\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// credentials are the files below the directory of credentials.
func credentials() []string {
	var all []string
	filepath.WalkDir(credsDir+"/", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all = append(all, path)
		}
		return nil
	})
	return all
}

// stopDCE is /usr/bin/stop.dce: the reverse order, dced last, and the credentials
// go. What does not end is named, and the exit status says so.
func stopDCE(s *site, _ []string) error {
	if err := configured(); err != nil {
		return err
	}
	names, err := components()
	if err != nil {
		return err
	}
	s.began("")
	if s.fault("nothing") {
		return nil
	}
	if err := s.leave(); err != nil {
		return err
	}
	var errs []error
	slices.Reverse(names)
	for _, name := range names {
		errs = append(errs, stop(name))
	}
	for _, path := range credentials() {
		errs = append(errs, os.Remove(path))
	}
	if err := errors.Join(errs...); err != nil {
		s.log("failed: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
		return err
	}
	s.log("done")
	return nil
}

// leave leaves behind what was asked for.
func (s *site) leave() error {
	path := varDir + "/left-open"
	if s.fault("stuck") {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return s.hold(f)
	}
	if !s.fault("keep-open") {
		return nil
	}
	// Out of the cgroup of the application, as a person's shell would be.
	cmd := exec.Command("/bin/sh", "-c", "echo 0 >/sys/fs/cgroup/cgroup.procs 2>/dev/null; exec 9>"+path+"; exec sleep 1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
