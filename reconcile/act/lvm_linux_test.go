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

// lvmStandIn acts as LVM does, as far as activation goes: a host does not get at a
// volume group that the metadata give to another, unless it is told to for that
// command; switching off always works. What it prints was recorded from LVM 2.03.16.
// The files of dir are its state: id is this host, owner the metadata's, active the
// logical volume's name in device mapper.
func lvmStandIn(t *testing.T, dir, device string) (h *Host, state func(name, value string), calls func() string) {
	t.Helper()
	for _, name := range []string{"id", "owner", "calls"} {
		touch(t, dir+"/"+name)
	}
	if err := os.Mkdir(dir+"/block", 0o755); err != nil {
		t.Fatal(err)
	}
	const groupUUID, volumeUUID = "sMGiEn-oTfG-YE0H-JD66-8CtY-rVIx-sce6Sf", "gfOxcR-23xC-LxBk-okCd-0W02-7m5f-AFFJSx"
	begin := `d=` + dir + `; echo "$(basename $0) $*" >>$d/calls
id=$(cat $d/id); owner=$(cat $d/owner)
case "$*" in *'devices{hints="none"}'*|systemid) ;; *) echo "hints are used" >&2; exit 9;; esac
refused() { echo "  Cannot access VG dcevg with system ID $owner with ${id:+local system ID }${id:-unknown local system ID}." >&2; exit 5; }
`
	programs(t, map[string]string{
		"lvm": begin + `echo "  system ID: $id"`,
		"vgs": begin + `[ -e $d/gone ] && { echo '  Volume group "dcevg" not found' >&2; echo '{"report":[{"vg":[]}]}'; exit 5; }
echo '{"report":[{"vg":[{"vg_name":"dcevg","vg_uuid":"` + groupUUID + `","vg_systemid":"'$owner'","vg_missing_pv_count":"'$(cat $d/missing 2>/dev/null || echo 0)'","vg_exported":"","vg_clustered":"","vg_lock_type":""}]}]}'`,
		"lvs": begin + `echo '{"report":[{"lv":[{"lv_name":"krb5lv","vg_name":"dcevg","lv_uuid":"` + volumeUUID + `","lv_path":"` + device + `","lv_role":"public","lv_skip_activation":""},
{"lv_name":"[pool_tdata]","vg_name":"dcevg","lv_uuid":"o7JJ6K-aHHt-Bslu-fB4f-AOSe-Qlcp-rGnvvH","lv_path":"","lv_role":"private,thin,pool,data","lv_skip_activation":""},
{"lv_name":"thinsnap","vg_name":"dcevg","lv_uuid":"fw15JW-OZnw-BwLC-qzgJ-TmmV-NfOV-wWSRBj","lv_path":"","lv_role":"public,snapshot,thinsnapshot","lv_skip_activation":"skip activation"}]}]}'`,
		"vgchange": begin + `settings=$2; shift 2
case "$*" in
"--yes --systemid "*) [ -z "$owner" ] || [ "$owner" = "$id" ] || case "$settings" in *"local{extra_system_ids=[\"$owner\"]}"*) ;; *) refused;; esac
  [ -e $d/steal ] && echo other >$d/owner || echo "$3" >$d/owner;;
"--activate y dcevg") [ "$owner" = "$id" ] || refused
  [ -e $d/listed ] || { mkdir -p $d/block/dm-0/dm; echo dcevg-krb5lv >$d/block/dm-0/dm/name; echo ` + "LVM-" + strings.ReplaceAll(groupUUID+volumeUUID, "-", "") + ` >$d/block/dm-0/dm/uuid; cat /sys/class/block/` + strings.TrimPrefix(device, "/dev/") + `/dev >$d/block/dm-0/dev; };;
"--refresh dcevg") [ "$owner" = "$id" ] || refused;;
"--activate n dcevg") [ -e $d/gone ] && { echo '  Volume group "dcevg" not found' >&2; exit 5; }
  [ -e $d/open ] && { echo "  Can't deactivate volume group \"dcevg\" with 1 open logical volume(s)" >&2; exit 5; }
  rm -rf $d/block/dm-0;;
*) echo "what is $*?" >&2; exit 3;; esac`,
	})
	h = newHost(t)
	h.opts.sysBlock = dir + "/block"
	state = func(name, value string) {
		t.Helper()
		if err := os.WriteFile(dir+"/"+name, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	calls = func() string {
		t.Helper()
		b, err := os.ReadFile(dir + "/calls")
		if err != nil {
			t.Fatal(err)
		}
		state("calls", "")
		return string(b)
	}
	return h, state, calls
}

var dcevg = config.Volume{Name: "dcevg", Kind: config.LVM}

// The system id: none, another host's, this host's. Device mapper itself is not
// tested here.
func TestVolumeGroupIsHeldExclusively(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	h, state, calls := lvmStandIn(t, dir, loop(t, dir+"/image"))
	ctx := within(t, 30*time.Second)
	on, off := reconcile.Activate{Volume: dcevg}, reconcile.Deactivate{Volume: dcevg}
	owner := func() string {
		b, _ := os.ReadFile(dir + "/owner")
		return strings.TrimSpace(string(b))
	}

	wantError(t, h.Do(ctx, on), "this host has no LVM system id", "system_id_source")
	if c := calls(); strings.Contains(c, "vgchange") {
		t.Errorf("without a system id: %s", c)
	}
	state("id", "n2")
	for _, tc := range []struct{ was, command string }{
		{"", `vgchange --config devices{hints="none"} --yes --systemid n2 dcevg`},
		{"n1", `vgchange --config devices{hints="none"} local{extra_system_ids=["n1"]} --yes --systemid n2 dcevg`},
		{"n2", ""},
	} {
		state("owner", tc.was)
		if err := h.Do(ctx, on); err != nil {
			t.Fatalf("owner %q: %v", tc.was, err)
		}
		c := calls()
		if tc.command == "" && strings.Contains(c, "--systemid ") || !strings.Contains(c, tc.command) || owner() != "n2" {
			t.Errorf("owner %q became %q:\n%s", tc.was, owner(), c)
		}
		if strings.Contains(c, "--refresh") {
			t.Errorf("owner %q: refreshed what was not active\n%s", tc.was, c)
		}
		wantError(t, h.Do(ctx, reconcile.ProveRelease{Group: config.Group{Name: "g", Volumes: []config.Volume{dcevg}}}), "volume group dcevg is switched on (dcevg-krb5lv)")
		for range 2 {
			if err := h.Do(ctx, off); err != nil {
				t.Fatal(err)
			}
		}
		if c := calls(); strings.Count(c, "vgchange") != 1 || strings.Contains(c, "systemid") || owner() != "n2" {
			t.Errorf("switching off twice: owner %q\n%s", owner(), c)
		}
		if err := h.Do(ctx, reconcile.ProveRelease{Group: config.Group{Name: "g", Volumes: []config.Volume{dcevg}}}); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := h.Do(ctx, on); err != nil {
			t.Fatal(err)
		}
	}
	if c := calls(); strings.Count(c, "--refresh dcevg") != 1 {
		t.Errorf("what was active is loaded again once:\n%s", c)
	}
	// It was lost to another host: this one gets rid of what it has all the same.
	state("owner", "n1")
	if err := h.Do(ctx, off); err != nil {
		t.Fatal(err)
	}
	if owner() != "n1" {
		t.Errorf("owner %q", owner())
	}
}

func TestVolumeGroupThatIsRefused(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	dev := loop(t, dir+"/image")
	h, state, calls := lvmStandIn(t, dir, dev)
	ctx := within(t, 30*time.Second)
	on, off := reconcile.Activate{Volume: dcevg}, reconcile.Deactivate{Volume: dcevg}
	state("id", "n2")
	state("owner", "n1")
	remove := func(name string) { _ = os.Remove(dir + "/" + name) }

	state("missing", "1")
	wantError(t, h.Do(ctx, on), "lacks 1 of its physical volumes")
	remove("missing")
	state("gone", "")
	wantError(t, h.Do(ctx, on), "cannot find volume group dcevg", "attach its disks")
	remove("gone")
	state("owner", `x"] y=["`)
	wantError(t, h.Do(ctx, on), "cannot")
	if c := calls(); strings.Contains(c, "vgchange") {
		t.Errorf("changed what was refused: %s", c)
	}
	state("owner", "n1")
	state("steal", "")
	wantError(t, h.Do(ctx, on), "Cannot access VG dcevg with system ID other")
	remove("steal")
	state("listed", "")
	state("owner", "n1")
	wantError(t, h.Do(ctx, on), "krb5lv is not active afterwards", "volume_list")
	remove("listed")
	if err := h.Do(ctx, on); err != nil {
		t.Fatal(err)
	}
	state("open", "")
	wantError(t, h.Do(ctx, off), "dcevg-krb5lv still active", "1 open logical volume", "lsof /dev/mapper/dcevg-krb5lv")
	remove("open")
	state("gone", "")
	wantError(t, h.Do(ctx, off), "still active", "not found", "dmsetup remove dcevg-krb5lv")
	remove("gone")

	format(t, dev, "ext4")
	at := dir + "/mnt"
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(dev, at, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	calls()
	wantError(t, h.Do(ctx, off), "is mounted at "+at)
	if c := calls(); c != "" {
		t.Errorf("asked LVM with a file system mounted: %s", c)
	}
	if err := unix.Unmount(at, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.Do(ctx, off); err != nil {
		t.Fatal(err)
	}
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
	if time.Since(began) > 30*time.Second {
		t.Errorf("took %s", time.Since(began))
	}
}
