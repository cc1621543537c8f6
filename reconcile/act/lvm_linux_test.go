package act

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// programs puts scripts in front of the host's programs, for one test.
func programs(t *testing.T, scripts map[string]string) {
	t.Helper()
	needRoot(t)
	const dir = "/usr/local/sbin"
	if err := unix.Mount("programs", dir, "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	for name, text := range scripts {
		script(t, dir+"/"+name, text)
	}
}

// script writes a shell script.
func script(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// The commands that are given to LVM, with a stand-in whose volume is a loop
// device. Device mapper itself is not tested here.
func TestVolumeGroupGoesOnAndOff(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	dev := loop(t, dir+"/image")
	state, calls := dir+"/active", dir+"/calls"
	note := `echo "$(basename $0) $*" >>` + calls + "\n"
	programs(t, map[string]string{
		"vgs":      note + `echo '{"report":[{"vg":[{"vg_name":"dcevg","vg_missing_pv_count":"0","vg_exported":""}]}]}'`,
		"lvs":      note + `[ -e ` + state + ` ] && a=active; echo '{"report":[{"lv":[{"lv_name":"krb5lv","lv_path":"` + dev + `","lv_active":"'$a'","lv_device_open":"","lv_role":"public"}]}]}'`,
		"vgchange": note + `case "$*" in "--activate y dcevg") touch ` + state + `;; "--activate n dcevg") [ -e ` + dir + `/stuck ] || rm -f ` + state + `;; "--refresh dcevg");; *) exit 3;; esac`,
	})
	h := newHost(t)
	vg := config.Volume{Name: "dcevg", Kind: config.LVM}
	ctx := within(t, 10*time.Second)
	for range 2 {
		if err := h.Do(ctx, reconcile.Activate{Volume: vg}); err != nil {
			t.Fatal(err)
		}
	}
	touch(t, dir+"/stuck")
	wantError(t, h.Do(ctx, reconcile.Deactivate{Volume: vg}), "krb5lv is still active")
	_ = os.Remove(dir + "/stuck")
	for range 2 {
		if err := h.Do(ctx, reconcile.Deactivate{Volume: vg}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "vgchange --refresh dcevg\n"); n != 1 {
		t.Errorf("refreshed %d times, want once, for the volume that was active\n%s", n, b)
	}
	wantError(t, h.Do(ctx, reconcile.Activate{Volume: config.Volume{Name: "other", Kind: config.LVM}}), "volume group other", "storage attached")
	wantError(t, h.Do(ctx, reconcile.Activate{Volume: config.Volume{Name: "x", Kind: "y"}}), `kind "y"`)
}

func TestProgramsThatOthersMayChangeAreNotRun(t *testing.T) {
	needRoot(t)
	path := script(t, t.TempDir()+"/p", "exit 0")
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := run(t.Context(), command{argv: []string{path}})
	wantError(t, err, "others than root may change it")
	_, err = run(t.Context(), command{argv: []string{"nosuchprogram"}})
	wantError(t, err, "cannot find program nosuchprogram")
}

func TestRunKillsItsCommandAtTheLimit(t *testing.T) {
	needRoot(t)
	path := script(t, t.TempDir()+"/p", "echo begun; sleep 1000 & wait")
	began := time.Now()
	_, err := run(within(t, 100*time.Millisecond), command{argv: []string{path}})
	wantError(t, err, "killed", "deadline")
	if time.Since(began) > 2*time.Second {
		t.Errorf("took %s", time.Since(began))
	}
}
