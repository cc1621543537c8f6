package act

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/act/aix"
)

// Host carries out steps on this host. Its methods may be called from any
// goroutine; of one group, one step at a time.
type Host struct {
	opts    Options
	log     *slog.Logger
	flights flights
	aix     *aix.Host

	mu     sync.Mutex // guards config
	config *config.Config

	hooks   atomic.Int64 // runs so far
	naming  sync.Mutex   // held while the host name is saved and set, or restored
	marking sync.Mutex   // held while the record of what only a reboot ends is written
}

// New returns a Host. It does nothing yet and starts nothing.
func New(opts Options) *Host {
	h := &Host{opts: opts, log: opts.Log, config: opts.Config}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.aix = &aix.Host{
		See: system, Log: h.log, Signal: signal, Spared: ancestors,
		Filesystems: func() (string, error) {
			b, err := os.ReadFile("/etc/filesystems")
			return string(b), err
		},
	}
	return h
}

// SetConfig replaces the configuration, for a file that was read again.
func (h *Host) SetConfig(c *config.Config) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.config = c
}

// Run returns when ctx ends: nothing is announced again on AIX, whose kernel
// announces an address when it is configured.
func (h *Host) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Close does nothing: nothing runs in the background here.
func (h *Host) Close() {}

// Do carries out one step and returns when it is done and proved, when it has
// failed, or soon after ctx has ended. See act/aix for what is weaker on AIX.
func (h *Host) Do(ctx context.Context, s reconcile.Step) error {
	if _, ok := ctx.Deadline(); !ok {
		if sp := s.Spec(); sp.Limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, sp.Limit)
			defer cancel()
		}
	}
	if ctx.Err() != nil {
		return stopped(ctx, s.Spec().Verb+" "+s.Spec().Object)
	}
	switch s := s.(type) {
	case reconcile.Fence:
		_, err := h.Fence(ctx, s)
		return err
	case reconcile.TakeClaim, reconcile.SignOff:
		return fmt.Errorf("cannot carry out step %s: the store's steps are carried out by package lease", s.Spec().Verb)
	case reconcile.SetHostname:
		return h.setHostname(s)
	case reconcile.RestoreHostname:
		return h.restoreHostname(s)
	case reconcile.Start:
		return h.start(ctx, s)
	case reconcile.Verify:
		return h.verify(ctx, s)
	case reconcile.Stop:
		return h.stopAndTell(ctx, s)
	case reconcile.MarkDirty:
		return h.markDirty(ctx, s)
	case reconcile.Reboot:
		return h.reboot(ctx, s)
	case reconcile.RunHook:
		return h.runHook(ctx, s)
	case reconcile.Notify:
		h.notify(ctx, s)
		return nil
	}
	return h.doStorage(ctx, s)
}

// doStorage carries out the steps on storage and addresses, each behind the guard of
// calls that may hang.
func (h *Host) doStorage(ctx context.Context, s reconcile.Step) error {
	switch s := s.(type) {
	case reconcile.Activate:
		if s.Device != "" {
			return h.flights.do(ctx, "activate "+s.Device, func() error { return answers(s.Device) }, nil)
		}
		return h.flights.do(ctx, "activate "+s.Volume.Name, func() error { return h.aix.Activate(ctx, s.Volume.Name) }, nil)
	case reconcile.Deactivate:
		if s.Device != "" {
			return h.flights.do(ctx, "let go of "+s.Device, func() error { return h.aix.NotMounted(ctx, s.Device) }, nil)
		}
		return h.flights.do(ctx, "deactivate "+s.Volume.Name, func() error { return h.aix.Deactivate(ctx, s.Volume.Name) }, nil)
	case reconcile.Reserve, reconcile.Unreserve:
		return fmt.Errorf("cannot %s %s: persistent reservations are not done on AIX — reservation = \"none\"", s.Spec().Verb, s.Spec().Object)
	case reconcile.MountFS:
		return h.flights.do(ctx, "mount "+s.FS.Device+" at "+s.FS.Mount, func() error { return h.aix.Mount(ctx, s.FS) },
			func(err error) { h.takeBack(s.FS, err) })
	case reconcile.Unmount:
		point := s.Point
		if point == "" {
			point = s.FS.Mount
		}
		return h.flights.do(ctx, "unmount "+point, func() error { return h.aix.Unmount(ctx, s.FS.Device, point) }, nil)
	case reconcile.AddAddress:
		return h.flights.do(ctx, "add "+s.Address.Prefix.String()+" to "+s.Link, func() error {
			return h.aix.AddAddress(ctx, s.Link, s.Address.Prefix, s.Probe > 0)
		}, nil)
	case reconcile.DropAddress:
		return h.flights.do(ctx, "drop "+s.Address.Label, func() error { return h.aix.DropAddress(ctx, s.Address.Prefix.Addr()) }, nil)
	case reconcile.PurgeFiles:
		return h.purge(ctx, s)
	case reconcile.ProveRelease:
		return h.proveRelease(ctx, s)
	}
	return fmt.Errorf("cannot carry out step %T: it is not known here", s)
}

// answers reads the first sector of a device past the buffers of this host, which
// another host may have written behind: AIX has the raw device NAME as rNAME. It
// has no command that drops the buffers of a block device; a mount reads anew.
func answers(device string) error {
	path := device
	if i := strings.LastIndexByte(device, '/'); i >= 0 {
		if raw := device[:i+1] + "r" + device[i+1:]; isThere(raw) {
			path = raw
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot activate %s: %w — is the storage attached?", device, err)
	}
	defer f.Close()
	if n, err := f.Read(make([]byte, 4096)); n < 512 {
		return fmt.Errorf("cannot activate %s: it does not answer: %d bytes, %w — look at the path to the storage", device, n, err)
	}
	return nil
}

func isThere(path string) bool { _, err := os.Stat(path); return err == nil }

// takeBack undoes a mount that came about after its step had been given up.
func (h *Host) takeBack(fsys config.Filesystem, err error) {
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	uerr := h.aix.Unmount(ctx, fsys.Device, fsys.Mount)
	h.log.Warn("a mount came back after its step was given up, and was taken off again", "mount", fsys.Mount, "device", fsys.Device, "err", uerr)
}

// purge deletes what a previous holder left behind. See [aix.Host.Purge].
func (h *Host) purge(ctx context.Context, s reconcile.PurgeFiles) error {
	if err := h.mustBeDown(ctx, s.Group, s.App); err != nil {
		return fmt.Errorf("cannot purge %s: %w", s.Purge.Path, err)
	}
	began := time.Now()
	return h.flights.do(ctx, "purge "+s.Purge.Path, func() error {
		done, err := h.aix.Purge(ctx, s.Purge.Path, s.Mount, s.Purge.Tree)
		if err == nil {
			h.log.InfoContext(ctx, "purged", "path", s.Purge.Path, "count", done.Count, "names", strings.Join(done.Names, " "), "took", time.Since(began))
		}
		return err
	}, nil)
}

// proveRelease proves that nothing of a group is left on this host. See
// [aix.Host.Left] for what stands in for an exclusive open on AIX.
func (h *Host) proveRelease(ctx context.Context, s reconcile.ProveRelease) error {
	var left []string
	err := h.flights.do(ctx, "prove the release of "+s.Group.Name, func() error {
		left = append(h.appsLeft(ctx, s.Group), h.aix.Left(ctx, s.Group)...)
		return nil
	}, nil)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		const most = 8
		if len(left) > most {
			left = append(left[:most], fmt.Sprintf("and %d more", len(left)-most))
		}
		return fmt.Errorf("cannot prove that group %s is released: %s — end each, then the proof is repeated", s.Group.Name, strings.Join(left, "; "))
	}
	h.log.InfoContext(ctx, "release proved", "group", s.Group.Name)
	return nil
}

// stopAndTell stops an application. Where that fails, it tells which subsystem of the
// System Resource Controller runs what is left, since SRC may start it again.
func (h *Host) stopAndTell(ctx context.Context, s reconcile.Stop) error {
	err := h.stop(ctx, s)
	if err == nil {
		return nil
	}
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandLimit)
	defer cancel()
	st, lerr := h.look(short, s.Group, s.App)
	subsystems, serr := system.Subsystems(short)
	if lerr != nil || serr != nil {
		return err
	}
	for _, p := range processesIn(st) {
		for _, sub := range subsystems {
			if sub.PID == p.PID {
				return fmt.Errorf("%w; process %d is subsystem %s — stopsrc -s %s, and let this program start it", err, p.PID, sub.Name, sub.Name)
			}
		}
	}
	return err
}

// Holders tells what keeps the file system mounted at a point busy, as far as fuser
// shows it.
func Holders(mount string) ([]Holder, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*commandLimit)
	defer cancel()
	users, err := (&aix.Host{See: system}).Users(ctx, mount)
	if err != nil {
		return nil, err
	}
	out := make([]Holder, 0, len(users))
	for _, u := range users {
		out = append(out, Holder{Kind: HeldByProcess, PID: u.PID, Start: u.Start, Command: u.Name, What: "uses " + mount})
	}
	return out, nil
}
