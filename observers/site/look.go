//go:build unix

package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/prepare"
)

// The limits of one reading.
const (
	commandLimit = 10 * time.Second // a command that prints a version
	nameLimit    = 5 * time.Second  // a name server that does not answer
	fileLimit    = 5 * time.Second  // a file of a file system that hangs
	maxOutput    = 64 << 10         // of a command, in bytes
)

// Look fills in what reconcile/prepare asks for. snap is what the running host shows;
// root is the folder that the files lie in, "" or "/" for the host's own. It waits for
// what hangs no longer than its limit.
func Look(ctx context.Context, c *config.Config, node, stateDir, root string, snap reconcile.Snapshot) prepare.Facts {
	f := prepare.Facts{
		Node: node, Root: root, StateDir: stateDir, Snapshot: snap,
		Names: map[string]reconcile.Seen[[]netip.Addr]{}, Versions: map[string]reconcile.Seen[prepare.Output]{},
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, name := range prepare.AskNames(c, node) {
		wg.Go(func() {
			at := time.Now()
			ips, err := names(ctx, root, name)
			mu.Lock()
			defer mu.Unlock()
			f.Names[name] = seen(ips, err, at)
		})
	}
	if root == "" || root == "/" { // a program of another root is not run
		for _, argv := range prepare.Commands(c, node) {
			wg.Go(func() {
				at := time.Now()
				out, err := output(ctx, argv)
				mu.Lock()
				defer mu.Unlock()
				f.Versions[prepare.VersionKey(argv)] = seen(out, err, at)
			})
		}
	}
	asks := append(prepare.Asks(c, node, stateDir), prepare.WireAsks(c, node, &f.Snapshot)...)
	f.Paths = Paths(ctx, root, asks, nil)
	f.Same = same(root, f.Paths[prepare.FstabFile], snap.Devices)
	wg.Wait()
	return f
}

func seen[T any](v T, err error, at time.Time) reconcile.Seen[T] {
	if err != nil {
		return reconcile.Unread[T](err, at)
	}
	return reconcile.Read(v, at)
}

// Paths looks at paths beneath root. A path on a file system that does not answer is
// unknown, and so are those after it. With a cache, programs are read only if they have
// changed.
func Paths(ctx context.Context, root string, asks []prepare.Ask, cache *Cache) map[string]reconcile.Seen[prepare.Path] {
	ctx, cancel := context.WithTimeout(ctx, fileLimit)
	defer cancel()
	type answer struct {
		path string
		seen reconcile.Seen[prepare.Path]
	}
	answers := make(chan answer, len(asks))
	go func() { // it ends when the kernel lets it go
		defer close(answers)
		for _, a := range asks {
			if ctx.Err() != nil {
				return
			}
			at := time.Now()
			v, err := look(root, a, cache)
			answers <- answer{a.Path, seen(v, err, at)}
		}
	}()
	out := map[string]reconcile.Seen[prepare.Path]{}
	for {
		select {
		case a, ok := <-answers:
			if !ok {
				for _, q := range asks {
					if _, there := out[q.Path]; !there {
						out[q.Path] = reconcile.Unread[prepare.Path](fmt.Errorf("cannot look at %s: %w", q.Path, ctx.Err()), time.Now())
					}
				}
				return out
			}
			out[a.path] = merge(out[a.path], a.seen)
		case <-ctx.Done():
			for _, q := range asks {
				if _, there := out[q.Path]; !there {
					out[q.Path] = reconcile.Unread[prepare.Path](fmt.Errorf("cannot look at %s: no answer within %s", q.Path, fileLimit), time.Now())
				}
			}
			return out
		}
	}
}

// merge joins two answers about one path, which may have been asked for its digest
// and for its content.
func merge(a, b reconcile.Seen[prepare.Path]) reconcile.Seen[prepare.Path] {
	if !a.OK() || !b.OK() {
		return b
	}
	if b.Value.Data == nil {
		b.Value.Data = a.Value.Data
	}
	if b.Value.Digest == "" {
		b.Value.Digest = a.Value.Digest
	}
	if b.Value.Entries == nil {
		b.Value.Entries = a.Value.Entries
	}
	return b
}

// names are the addresses of a name: by the table of hosts, or, for the host itself,
// by whatever it asks. A name that nobody knows has none.
func names(ctx context.Context, root, name string) ([]netip.Addr, error) {
	if root != "" && root != "/" {
		p, err := look(root, prepare.Ask{Path: prepare.HostsFile, Data: true}, nil)
		if err != nil {
			return nil, err
		}
		return hosts(p.Data, name), nil
	}
	ctx, cancel := context.WithTimeout(ctx, nameLimit)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look up %s: %w", name, err)
	}
	var out []netip.Addr
	for _, ip := range ips {
		out = append(out, ip.Unmap())
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), nil
}

// hosts reads a table of hosts(5) for one name.
func hosts(text []byte, name string) []netip.Addr {
	var out []netip.Addr
	for line := range bytes.Lines(text) {
		body, _, _ := strings.Cut(string(line), "#")
		f := strings.Fields(body)
		if len(f) < 2 || !slices.ContainsFunc(f[1:], func(s string) bool { return strings.EqualFold(s, name) }) {
			continue
		}
		if ip, err := netip.ParseAddr(f[0]); err == nil {
			out = append(out, ip.Unmap())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// output runs a command that prints something, in a process group of its own, which is
// killed at the limit.
func output(ctx context.Context, argv []string) (prepare.Output, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	out := &head{}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	switch {
	case errors.Is(err, os.ErrNotExist):
		return prepare.Output{Missing: true}, nil
	case ctx.Err() != nil:
		return prepare.Output{}, fmt.Errorf("cannot ask %s: no answer within %s", argv[0], commandLimit)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay) && prepare.Version(string(out.text)) == "":
		return prepare.Output{}, fmt.Errorf("cannot ask %s: %w", argv[0], err)
	}
	// Some programs print their version and exit 1.
	return prepare.Output{Text: string(out.text)}, nil
}

// head keeps the first bytes written to it. It may be written to by two goroutines
// only one after the other, as os/exec does for one writer.
type head struct{ text []byte }

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), maxOutput-len(h.text))]...)
	return len(p), nil
}

// same tells which first fields of an fstab are devices of the file, by device number:
// UUID=, LABEL= and every other path to a device.
func same(root string, fstab reconcile.Seen[prepare.Path], devices reconcile.Seen[[]reconcile.Device]) map[string]string {
	out := map[string]string{}
	if !fstab.OK() || !devices.OK() {
		return out
	}
	for _, l := range prepare.ParseFstab(fstab.Value.Data) {
		p := l.Spec
		for _, by := range []struct{ prefix, dir string }{
			{"UUID=", "uuid"}, {"LABEL=", "label"}, {"PARTUUID=", "partuuid"}, {"PARTLABEL=", "partlabel"},
		} {
			if v, ok := strings.CutPrefix(l.Spec, by.prefix); ok {
				p = "/dev/disk/by-" + by.dir + "/" + strings.Trim(v, `"`)
			}
		}
		var st unix.Stat_t
		if !strings.HasPrefix(p, "/dev/") || unix.Stat(p, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
			continue
		}
		for _, d := range devices.Value {
			if d.Present && d.Major == unix.Major(uint64(st.Rdev)) && d.Minor == unix.Minor(uint64(st.Rdev)) {
				out[l.Spec] = d.Path
			}
		}
	}
	return out
}
