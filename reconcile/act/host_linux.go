package act

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"understudy/config"
	"understudy/reconcile"
)

// Host carries out steps on this host. Its methods may be called from any
// goroutine; of one group, one step at a time.
type Host struct {
	opts    Options
	log     *slog.Logger
	flights flights

	mu       sync.Mutex // guards all following fields
	config   *config.Config
	bursts   map[string]context.CancelFunc // by address: announcements under way
	contests map[string]*contest           // by address: those that another host claims as well
	closed   bool

	hooks   atomic.Int64   // runs so far
	working sync.WaitGroup // bursts and contests
	naming  sync.Mutex     // held while the host name is saved and set, or restored
	marking sync.Mutex     // held while the record of what only a reboot ends is written
}

// New returns a Host. It does nothing yet and starts nothing.
func New(opts Options) *Host {
	h := &Host{opts: opts, log: opts.Log, config: opts.Config, bursts: make(map[string]context.CancelFunc), contests: make(map[string]*contest)}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

// SetConfig replaces the configuration, for a file that was read again.
func (h *Host) SetConfig(c *config.Config) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.config = c
}

// Do carries out one step and returns when it is done and proved, when it has
// failed, or soon after ctx has ended. TakeClaim and SignOff belong to package
// lease. The caller bounds ctx by the step's limit; without a deadline the step's
// own limit is used.
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
	case reconcile.Activate:
		return h.activate(ctx, s)
	case reconcile.Reserve:
		return h.reserve(ctx, s)
	case reconcile.Unreserve:
		return h.unreserve(ctx, s)
	case reconcile.MountFS:
		return h.mountFS(ctx, s)
	case reconcile.SetHostname:
		return h.setHostname(s)
	case reconcile.RestoreHostname:
		return h.restoreHostname(s)
	case reconcile.PurgeFiles:
		return h.purge(ctx, s)
	case reconcile.AddAddress:
		return h.addAddress(ctx, s)
	case reconcile.Start:
		return h.start(ctx, s)
	case reconcile.Verify:
		return h.verify(ctx, s)
	case reconcile.Stop:
		return h.stop(ctx, s)
	case reconcile.DropAddress:
		return h.dropAddress(ctx, s)
	case reconcile.Unmount:
		return h.unmount(ctx, s)
	case reconcile.Deactivate:
		return h.deactivate(ctx, s)
	case reconcile.MarkDirty:
		return h.markDirty(ctx, s)
	case reconcile.Reboot:
		return h.reboot(ctx, s)
	case reconcile.RunHook:
		return h.runHook(ctx, s)
	case reconcile.Notify:
		h.notify(ctx, s)
		return nil
	case reconcile.ProveRelease:
		return h.proveRelease(ctx, s)
	}
	return fmt.Errorf("cannot carry out step %T: it is not known here", s)
}

// Close ends what runs in the background and waits for it. Started applications
// go on.
func (h *Host) Close() {
	h.mu.Lock()
	h.closed = true
	for _, cancel := range h.bursts {
		cancel()
	}
	for _, c := range h.contests {
		c.cancel()
	}
	h.mu.Unlock()
	h.working.Wait()
}
