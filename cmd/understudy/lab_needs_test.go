//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// needs skips a test where the programs of a Debian package are missing.
// .ci/test.sh installs them, and lets nothing be skipped.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if _, err := os.Stat(filepath.Join("/usr/sbin", filepath.Base(name))); err == nil {
			continue
		}
		t.Skipf("needs %s: .ci/test.sh says of which package", name)
	}
}
