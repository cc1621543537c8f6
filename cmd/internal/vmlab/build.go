//go:build linux

package vmlab

import (
	"context"
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed build-image.sh
var buildImage string

// Build makes what guests boot, once: Debian's kernel with its modules and a root
// image with LVM and what tests need, in the cache folder. It installs what it needs
// for that with apt, and tells progress what it does.
func Build(ctx context.Context, cache string, progress io.Writer) error {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return fmt.Errorf("cannot build the guests' image: %w", err)
	}
	cmd := exec.CommandContext(ctx, "bash", "-s", cache)
	// The end of ctx ends what the script has started, too, and it cleans up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(buildImage), progress, progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot build the guests' image in %s: %w — it needs root, and apt with Debian's packages", cache, err)
	}
	return nil
}

// Static checks that a program can be a guest's process 1: nothing is there to load
// it but the kernel.
func Static(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("cannot boot guests with %s: it is linked dynamically — build it with CGO_ENABLED=0", path)
		}
	}
	return nil
}

// initialRAMDisk writes an archive with a program as /understudy and the kernel's
// modules that are needed before the root is there, as /mod/*, in the order of
// /modules.list (the kernel's initramfs buffer format, cpio newc).
func initialRAMDisk(cache, program, to string) (err error) {
	list, err := os.ReadFile(filepath.Join(cache, "modules.list"))
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	a := archive{w: f}
	for _, dir := range []string{"mod", "dev", "proc", "sys", "base", "over", "new"} {
		a.add(dir, 0o40755, nil)
	}
	names := ""
	for path := range strings.Lines(string(list)) {
		path = strings.TrimSpace(path)
		b, err := os.ReadFile(filepath.Join(cache, path))
		if err != nil {
			return err
		}
		a.add("mod/"+filepath.Base(path), 0o100644, b)
		names += filepath.Base(path) + "\n"
	}
	a.add("modules.list", 0o100644, []byte(names))
	b, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	a.add("understudy", 0o100755, b)
	a.add("TRAILER!!!", 0, nil)
	return a.err
}

// archive writes cpio in its newc form: a header of 110 bytes of hexadecimal text,
// the name with a zero, and the contents, each filled up to 4 bytes.
type archive struct {
	w     io.Writer
	inode int
	err   error
}

func (a *archive) add(name string, mode int, data []byte) {
	a.inode++
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0) + name + "\x00"
	a.write([]byte(head))
	a.write(data)
}

func (a *archive) write(b []byte) {
	if a.err == nil {
		_, a.err = a.w.Write(b)
	}
	if rest := len(b) % 4; a.err == nil && rest != 0 {
		_, a.err = a.w.Write(make([]byte, 4-rest))
	}
}
