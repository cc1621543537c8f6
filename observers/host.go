package observers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"understudy/config"
	"understudy/observers/addrs"
	"understudy/observers/daemons"
	"understudy/observers/lvm"
	"understudy/observers/mounts"
	"understudy/observers/peers"
	"understudy/observers/scsi"
	"understudy/observers/trigger"
	"understudy/reconcile"
)

// LookLimit is how long a look takes at most. What has not been read by then is
// unknown.
const LookLimit = 2 * time.Second

// Peers exchanges keep-alives with the other machines.
type Peers = peers.Peers

// KeyID names a secret of the cluster without giving it away. See [peers.KeyID].
func KeyID(key []byte) string { return peers.KeyID(key) }

// KeyIDs are the ids of secrets, in their order.
func KeyIDs(keys [][]byte) []string { return peers.KeyIDs(keys) }

// NewPeers prepares keep-alives of one machine (a node's name, or "witness") with
// all others of a file. See [peers.New].
func NewPeers(cfg *config.Config, self, bootID string, keys [][]byte, log *slog.Logger) *Peers {
	return peers.New(cfg, self, bootID, keys, log)
}

// Host looks at this host. Make one with [New].
type Host struct {
	node, bootID, stateDir string
	since                  time.Time
	peers                  *Peers
	log                    *slog.Logger
	limit                  time.Duration

	changes    trigger.Trigger
	configured trigger.Trigger // the file has changed: watch other directories
	view       atomic.Pointer[view]
	exits      *daemons.Exits
	prober     *daemons.Prober
	volumes    volumeObserver
	reserved   scsi.Observer

	table                                         mounts.Table // of the goroutine that holds mountGate
	mountGate, addrGate, appGate, hosts, diskGate gate
	volumeGate                                    gate
}

// volumeObserver looks at volume groups.
type volumeObserver interface {
	Look(ctx context.Context, names []string) ([]reconcile.VolumeState, error)
}

// view is one configuration and what depends on it.
type view struct {
	cfg     *config.Config
	daemons *daemons.Reader // of the goroutine that holds appGate
}

// network is what one listing of interfaces gives.
type network struct {
	links []reconcile.Link
	addrs []reconcile.Addr
}

// New returns a Host for one node of a file. stateDir holds the records of
// applications with Run. peers may be nil: then nothing is known of the others.
// Look works without Run; it then notices nothing by itself and runs no probe.
func New(cfg *config.Config, node, stateDir string, peers *Peers, log *slog.Logger) (*Host, error) {
	if cfg.Node(node) == nil {
		return nil, fmt.Errorf("cannot observe node %q: the file has no such node", node)
	}
	boot, err := BootID()
	if err != nil {
		return nil, err
	}
	h := &Host{
		node: node, bootID: boot, stateDir: stateDir, since: time.Now(), peers: peers, log: log, limit: LookLimit,
		changes: trigger.New(), configured: trigger.New(),
		mountGate: newGate(), addrGate: newGate(), appGate: newGate(), hosts: newGate(), diskGate: newGate(), volumeGate: newGate(),
	}
	h.volumes = newVolumes(h.changes.Fire)
	h.exits = daemons.NewExits(h.changes.Fire, log)
	h.prober = daemons.NewProber(h.changes.Fire, log)
	return h, h.SetConfig(cfg)
}

// SetConfig adopts a new configuration; on an error the old one stays. Keep-alives
// go on as they are: machines, addresses and times of theirs need a new Peers.
func (h *Host) SetConfig(cfg *config.Config) error {
	r, err := daemons.NewReader(cfg, h.node, h.stateDir, h.bootID)
	if err != nil {
		return err
	}
	h.view.Store(&view{cfg, r})
	h.configured.Fire()
	h.changes.Fire()
	return nil
}

// Changes fires when a look would show something new, or might.
func (h *Host) Changes() <-chan struct{} { return h.changes }

// Pause stops probing an application while a step works on it. A probe that runs
// is killed and has ended when Pause returns. Its verdict is forgotten.
func (h *Host) Pause(group, app string) { h.prober.Pause(group, app) }

// Resume ends a pause.
func (h *Host) Resume(group, app string) { h.prober.Resume(group, app) }

// Look reads everything anew. It fills in all of the snapshot but Lease, Store and
// Memory. It ends at ctx's deadline or after [LookLimit], whichever is first.
func (h *Host) Look(ctx context.Context) reconcile.Snapshot {
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	v := h.view.Load()
	s := reconcile.Snapshot{At: time.Now(), Node: h.node, BootID: h.bootID, Since: h.since}

	mountTable := begin(ctx, h.mountGate, "the mount table", h.table.Read)
	network := begin(ctx, h.addrGate, "addresses", func(ctx context.Context) (network, error) {
		l, a, err := addrs.Read(ctx)
		return network{l, a}, err
	})
	apps := h.beginApps(ctx, v)
	disks := begin(ctx, h.diskGate, "devices", func(ctx context.Context) ([]reconcile.Device, error) { return devices(ctx, v.cfg) })
	volumes := begin(ctx, h.volumeGate, "volume groups", func(ctx context.Context) ([]reconcile.VolumeState, error) {
		if o, ok := h.volumes.(*lvm.Observer); ok {
			o.Reserved(reservedVolumes(v.cfg))
		}
		return h.volumes.Look(ctx, lvm.Names(v.cfg))
	})
	name := begin(ctx, h.hosts, "the host name", hostname)

	s.Mounts = mountTable()
	n := network()
	s.Links = reconcile.Seen[[]reconcile.Link]{Value: n.Value.links, Err: n.Err, At: n.At}
	s.Addrs = reconcile.Seen[[]reconcile.Addr]{Value: n.Value.addrs, Err: n.Err, At: n.At}
	s.Devices = disks()
	s.Volumes = volumes()
	s.Hostname = name()
	s.Reservations = h.reservations(ctx, v.cfg, &s)
	if s.Apps = apps(); s.Apps.OK() {
		h.exits.Set(s.Apps.Value)
		h.prober.Set(v.cfg, s.Apps.Value)
	}
	if h.peers != nil {
		s.Peers = h.peers.Peers()
	} else {
		s.Peers = peers.Unheard(v.cfg, h.node)
	}
	return s
}

func (h *Host) beginApps(ctx context.Context, v *view) func() reconcile.Seen[[]reconcile.AppState] {
	return begin(ctx, h.appGate, "processes", func(ctx context.Context) ([]reconcile.AppState, error) {
		return v.daemons.Look(ctx, time.Now())
	})
}

func (h *Host) readApps(ctx context.Context, v *view) reconcile.Seen[[]reconcile.AppState] {
	return h.beginApps(ctx, v)()
}

// gate lets one reading of a kind through at a time, so that readings that hang
// do not pile up.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

// begin starts a reading and returns the function that waits for it. A reading
// that does not end by ctx's deadline is unknown; it keeps the gate closed until
// the kernel lets it go.
func begin[T any](ctx context.Context, g gate, what string, read func(context.Context) (T, error)) func() reconcile.Seen[T] {
	asked := time.Now()
	done := make(chan reconcile.Seen[T], 1)
	select {
	case g <- struct{}{}:
		begun(ctx, g, done, read)
	default:
		go func() {
			select {
			case g <- struct{}{}:
				begun(ctx, g, done, read)
			case <-ctx.Done():
				done <- reconcile.Unread[T](fmt.Errorf("cannot read %s: an earlier reading still hangs", what), asked)
			}
		}()
	}
	return func() reconcile.Seen[T] {
		select {
		case s := <-done:
			return s
		case <-ctx.Done():
		}
		select {
		case s := <-done:
			return s
		default:
		}
		why := ctx.Err()
		if errors.Is(why, context.DeadlineExceeded) {
			why = fmt.Errorf("no answer within %v", time.Since(asked).Round(time.Millisecond))
		}
		return reconcile.Unread[T](fmt.Errorf("cannot read %s: %w", what, why), asked)
	}
}

func begun[T any](ctx context.Context, g gate, done chan<- reconcile.Seen[T], read func(context.Context) (T, error)) {
	at := time.Now()
	go func() {
		v, err := read(ctx)
		<-g
		if err != nil {
			done <- reconcile.Unread[T](err, at)
			return
		}
		done <- reconcile.Read(v, at)
	}()
}
