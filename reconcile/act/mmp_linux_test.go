package act

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// A file system with multi-mount protection, as mke2fs makes it, is known as one, and
// the host that wrote its block last is named; one without it is not.
func TestMultiMountProtectionIsKnown(t *testing.T) {
	for _, feature := range []string{"mmp", "^mmp"} {
		image := filepath.Join(t.TempDir(), "image")
		if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-O", feature, image, "16M").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		b, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		sb := readSuperblock(b[:superblockBytes])
		if sb.mmp != (feature == "mmp") {
			t.Fatalf("-O %s: %+v", feature, sb)
		}
		if !sb.mmp {
			continue
		}
		if sb.mmpOffset <= 0 || sb.mmpOffset+1024 > int64(len(b)) {
			t.Fatalf("its block is at %d of %d", sb.mmpOffset, len(b))
		}
		if who := mmpHolder(b[sb.mmpOffset:][:1024]); !strings.Contains(who, "last written by node") {
			t.Errorf("nobody is named: %q", who)
		}
	}
}

// Another host, a mount namespace with a loop device of its own over the same disk, has a
// file system with multi-mount protection: the kernel refuses it here, and the error
// names who has it. That a file system has the protection can be demanded.
func TestMountedTwice(t *testing.T) {
	needRoot(t)
	t.Parallel() // the kernel waits 11 s before it refuses
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-O", "mmp", "-E", "mmp_update_interval=1", image, "16M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	there, here := loop(t, image), loop(t, image)
	other := exec.Command("unshare", "--mount", "sh", "-c", `mkdir -p "$2" && mount -t ext4 "$1" "$2" && echo up && read end`, "sh", there, dir+"/there")
	end, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end.Close(); _ = other.Wait() })
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "up\n" {
		t.Fatalf("it is not mounted there: %q, %v", line, err)
	}

	fs := config.Filesystem{Mount: dir + "/here", Device: here, Type: "ext4", RequireMMP: true}
	err = newHost(t).Do(within(t, time.Minute), reconcile.MountFS{FS: fs})
	wantError(t, err, "cannot mount "+here, "device or resource busy", "another host has it mounted", "last written by node", `device "`+filepath.Base(there)+`"`)
	table, terr := mountTable()
	if terr != nil || topAt(table, fs.Mount) != nil {
		t.Error("it is mounted all the same", terr)
	}
}

func TestMultiMountProtectionIsDemanded(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-O", "^mmp", image, "16M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fs := config.Filesystem{Mount: dir + "/here", Device: loop(t, image), Type: "ext4", RequireMMP: true}
	err := newHost(t).Do(within(t, time.Minute), reconcile.MountFS{FS: fs})
	wantError(t, err, "cannot mount "+fs.Device, "no multi-mount protection", "tune2fs -O mmp")
}

// A device that something on this host holds is refused with the same errno. Nobody else
// is blamed for it, whatever a host that has crashed left in the block.
func TestHeldHereIsNotMountedTwice(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-O", "mmp", image, "16M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fs := config.Filesystem{Mount: dir + "/here", Device: loop(t, image), Type: "ext4"}
	held, err := unix.Open(fs.Device, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(held)
	err = newHost(t).Do(within(t, time.Minute), reconcile.MountFS{FS: fs})
	wantError(t, err, "cannot mount "+fs.Device, "something on this host holds the device", "lsblk "+fs.Device)
}
