package act

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
