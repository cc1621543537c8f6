package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The unit of the resident service stops before all that letting go of a group needs,
// and is given longer than understudy itself gives a group (5 min, run.go). Where
// systemd is installed it must find nothing wrong with it.
func TestUnitStopsBeforeWhatItNeeds(t *testing.T) {
	data, err := os.ReadFile("../packaging/understudy.service")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			keys[key] = append(keys[key], strings.Fields(value)...)
		}
	}
	for _, unit := range []string{
		"network.target", "network-online.target", "NetworkManager.service", "systemd-networkd.service", "networking.service",
		"local-fs.target", "remote-fs-pre.target", "blk-availability.service", "multipathd.service", "iscsid.service", "open-iscsi.service",
		"dbus.service",
	} {
		if !slices.Contains(keys["After"], unit) {
			t.Errorf("it is not ordered after %s, and %s may be gone while it lets go", unit, unit)
		}
	}
	if d, err := time.ParseDuration(strings.Join(keys["TimeoutStopSec"], "")); err != nil || d <= 5*time.Minute {
		t.Errorf("TimeoutStopSec %v (%v)", d, err)
	}
	for key, want := range map[string]string{"KillMode": "process", "KillSignal": "SIGTERM", "Type": "notify", "Restart": "on-failure"} {
		if got := strings.Join(keys[key], " "); got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("no systemd-analyze here: only the text was looked at")
		return
	}
	copied := filepath.Join(t.TempDir(), "understudy.service") // the program is not installed here
	text := strings.Replace(string(data), "ExecStart=/usr/sbin/understudy", "ExecStart=/bin/true", 1)
	if err := os.WriteFile(copied, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(verify, "verify", "--man=no", "--recursive-errors=no", copied).CombinedOutput()
	if err != nil || strings.Contains(string(out), "understudy.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
