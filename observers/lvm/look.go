package lvm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"understudy/reconcile"
)

// How often the metadata is read, and how long that may take. LVM reads every disk
// for it, so it is done at a slow pace and whenever the active volumes change.
const (
	Pace  = 10 * time.Second
	Limit = 20 * time.Second
)

// errNotRead is why nothing is known of a volume group in the first moment.
var errNotRead = errors.New("not read yet")

// Observer looks at the volume groups of a file. What is active is read from the
// kernel at each look; what the metadata says was read at most [Pace] and [Limit]
// ago. Its methods may be called from any goroutine.
type Observer struct {
	commands Commands
	sysBlock string
	changed  func() // called when the metadata says something new
	kick     chan struct{}

	mu      sync.Mutex // guards all following fields
	names   []string
	running bool
	last    reading
	// reserved are the names whose physical volumes are read as well.
	reserved []string
}

// reading is one reading of the metadata.
type reading struct {
	at     time.Time // when it began; zero: none was made
	names  string    // of what
	active string    // what was active when it began and when it ended; see signature
	ours   string    // system id of this host
	groups []Group
	err    error

	physical    map[string][]string // by volume group, of those that are reserved
	physicalErr error
}

// New returns an Observer that calls changed when a later look would show
// something new; it may be nil. Look works without Run.
func New(run Run, changed func()) *Observer {
	if changed == nil {
		changed = func() {}
	}
	return &Observer{commands: Commands{Run: run, ReadOnly: true}, sysBlock: SysBlock, changed: changed, kick: make(chan struct{}, 1)}
}

// Run reads the metadata until ctx ends. Looks do not wait for it then.
func (o *Observer) Run(ctx context.Context) error {
	o.mu.Lock()
	o.running = true
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		o.running = false
		o.mu.Unlock()
	}()
	tick := time.NewTicker(Pace)
	defer tick.Stop()
	for {
		o.mu.Lock()
		names, before := o.names, o.last
		o.mu.Unlock()
		if len(names) > 0 {
			if now := o.read(ctx, names); ctx.Err() == nil && !now.same(before) {
				o.changed()
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		case <-o.kick:
		}
	}
}

// Look shows the volume groups of the given names, in that order. Its error means
// that nothing is known of any. What could not be had of the metadata alone stands
// in a state's Why, and the group is then not Visible.
func (o *Observer) Look(ctx context.Context, names []string) ([]reconcile.VolumeState, error) {
	if len(names) == 0 {
		o.remember(nil)
		return []reconcile.VolumeState{}, nil
	}
	mapped, err := ListMapped(o.sysBlock)
	if err != nil {
		return nil, err
	}
	active := signature(mapped, names)
	last, running := o.remember(names)
	due := last.names != join(names) || last.active != active
	switch {
	case running && due:
		select {
		case o.kick <- struct{}{}:
		default:
		}
	case !running && (due || time.Since(last.at) > Pace):
		// What is active is known by now, and must not be lost to a slow vgs.
		limited, cancel := context.WithTimeout(ctx, Limit)
		if until, ok := ctx.Deadline(); ok {
			cancel()
			limited, cancel = context.WithTimeout(ctx, time.Until(until)*3/4)
		}
		last = o.read(limited, names)
		cancel()
	}
	out := make([]reconcile.VolumeState, len(names))
	for i, name := range names {
		out[i] = last.state(name, mapped, active, time.Now())
	}
	return out, nil
}

// Reserved says of which volume groups the physical volumes are wanted.
func (o *Observer) Reserved(names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reserved = names
}

func (o *Observer) remember(names []string) (reading, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names = names
	return o.last, o.running
}

// read reads the metadata, and keeps what it found.
func (o *Observer) read(ctx context.Context, names []string) reading {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	r := reading{at: time.Now(), names: join(names)}
	before, err := ListMapped(o.sysBlock)
	if err == nil {
		r.ours, err = o.commands.SystemID(ctx)
	}
	if err == nil {
		r.groups, err = o.commands.Groups(ctx, names...)
	}
	o.mu.Lock()
	reserved := o.reserved
	o.mu.Unlock()
	if err == nil && len(reserved) > 0 {
		r.physical, r.physicalErr = o.commands.Physical(ctx, reserved...)
	}
	after, err2 := ListMapped(o.sysBlock)
	r.err = cmp.Or(err, err2)
	// What changed meanwhile is read again: the next look finds another signature.
	if r.active = signature(before, names); r.active != signature(after, names) {
		r.active = "changing"
	}
	o.mu.Lock()
	o.last = r
	o.mu.Unlock()
	return r
}

// same reports whether two readings tell the same.
func (r reading) same(s reading) bool {
	return r.names == s.names && r.active == s.active && r.ours == s.ours && slices.Equal(r.groups, s.groups) &&
		fmt.Sprint(r.physical, r.physicalErr) == fmt.Sprint(s.physical, s.physicalErr) && fmt.Sprint(r.err) == fmt.Sprint(s.err)
}

// state is what is known of one volume group. now and active are of this look.
func (r reading) state(name string, mapped []Mapped, active string, now time.Time) reconcile.VolumeState {
	st := reconcile.VolumeState{Name: name}
	uuid := ""
	g, err := Find(r.groups, name)
	if err == nil {
		uuid = g.UUID
	}
	// By name as well: the group that was here may be another one of that name.
	st.Active = slices.ContainsFunc(mapped, func(m Mapped) bool { return m.Group == name || uuid != "" && m.In(name, uuid) })

	why := r.err
	switch {
	case r.at.IsZero() || !slices.Contains(strings.Split(r.names, "\n"), name):
		why = errNotRead
	case why == nil && now.Sub(r.at) > 2*(Pace+Limit):
		why = fmt.Errorf("last read %s ago", now.Sub(r.at).Round(time.Second))
	}
	if why != nil {
		st.Why = "its metadata could not be read: " + why.Error()
		return st
	}
	if err != nil {
		st.Why = err.Error()
		if errors.Is(err, ErrNotVisible) {
			st.Why += " — " + WayToSee(name)
		}
		return st
	}
	st.Missing, st.Physical = g.Missing, r.physical[name]
	st.Visible = g.Missing == 0
	if r.active == active { // else it may have changed hands with what became active
		st.SystemID, st.Ours = g.SystemID, g.SystemID != "" && g.SystemID == r.ours
	}
	switch refuse := g.Refuse(); {
	case refuse != nil:
		st.Why = refuse.Error()
	case r.ours == "":
		st.Why = NoSystemID
	}
	return st
}

// NoSystemID is what a host without a system id is told: nothing would keep another
// host from switching on what this one uses.
const NoSystemID = `this host has no LVM system id, by which other hosts keep off its volume groups — in /etc/lvm/lvm.conf on every node: global { system_id_source = "uname" }`

// signature says which logical volumes of the given groups are active.
func signature(mapped []Mapped, names []string) string {
	var out []string
	for _, m := range mapped {
		if slices.Contains(names, m.Group) {
			out = append(out, m.Name+"="+m.UUID)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func join(names []string) string { return strings.Join(names, "\n") }
