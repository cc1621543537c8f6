//go:build linux

package vmlab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// watch looks at the guests from outside of their clusters: what of the group each of
// them has, read through its agent, and who writes to the shared disk, counted by
// qemu, which no guest can hide anything from.
type watch struct {
	lab     *Lab
	address string // that belongs to one guest at a time
	below   string // mount points that do

	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex // guards all following fields
	looks  map[string][]look
	counts map[string]count
	reigns []reign
}

// look is one reading of what a guest has, at some moment from asked to answered.
type look struct {
	asked, answered time.Duration // since the lab began
	has             []string      // "mount /srv/data", "address 10.77.0.100"; the id of the mount is part of it
}

// count is how many writes to the shared disk qemu had seen of a guest.
type count struct {
	machine int // the process id of its qemu: another one counts anew
	writes  int64
}

// reign is a time in which one guest alone wrote to the shared disk.
type reign struct {
	node     string
	from, to time.Duration // of the first and of the last look that found writes
	writes   int64
}

// between is how long the watch waits from one look to the next.
const between = 250 * time.Millisecond

// newWatch begins to look. The caller ends it.
func newWatch(l *Lab, address, below string) *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{lab: l, address: address, below: below, cancel: cancel, looks: map[string][]look{}, counts: map[string]count{}}
	for _, n := range l.nodes {
		w.running.Go(func() { w.readings(ctx, n) })
	}
	w.running.Go(func() { w.writes(ctx) })
	return w
}

// end ends all looking.
func (w *watch) end() {
	w.cancel()
	w.running.Wait()
}

func (w *watch) readings(ctx context.Context, n *node) {
	for pause(ctx, between) {
		asked := time.Since(w.lab.began)
		mounts, err1 := w.lab.Get(ctx, n.name, "/proc/self/mountinfo")
		routes, err2 := w.lab.Get(ctx, n.name, "/proc/self/net/fib_trie")
		if err1 != nil || err2 != nil {
			continue // off, booting, or reset in the middle
		}
		has := mountsBelow(mounts, w.below)
		if isLocal(routes, w.address) {
			has = append(has, "address "+w.address)
		}
		w.mu.Lock()
		w.looks[n.name] = append(w.looks[n.name], look{asked, time.Since(w.lab.began), has})
		w.mu.Unlock()
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// mountsBelow lists the writable mounts below a folder in a mountinfo (proc(5)).
func mountsBelow(mountinfo, below string) (has []string) {
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) > 6 && strings.HasPrefix(f[4], below) && slices.Contains(strings.Split(f[5], ","), "rw") {
			has = append(has, "mount "+f[4]+" id "+f[0])
		}
	}
	return has
}

// isLocal reports whether an address is one of the host's own, by its fib_trie.
func isLocal(trie, address string) bool {
	_, rest, found := strings.Cut(trie, "|-- "+address+"\n")
	next, _, _ := strings.Cut(rest, "\n")
	return found && strings.Contains(next, "host LOCAL")
}

// has reports whether the last reading of a guest found something that begins so.
func (w *watch) has(node, what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.looks[node]
	return len(l) > 0 && slices.ContainsFunc(l[len(l)-1].has, func(s string) bool { return strings.HasPrefix(s, what) })
}

// last is when the last reading of a guest was asked for.
func (w *watch) last(node string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.looks[node]
	if len(l) == 0 {
		return 0
	}
	return l[len(l)-1].asked
}

// writes asks qemu again and again how many writes each guest has sent to the disk.
func (w *watch) writes(ctx context.Context) {
	for pause(ctx, between) {
		for _, n := range w.lab.nodes {
			machine, writes, err := n.written()
			if err == nil {
				w.wrote(n.name, count{machine, writes}, time.Since(w.lab.began))
			}
		}
	}
}

func (w *watch) wrote(node string, now count, at time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was, known := w.counts[node]
	w.counts[node] = now
	more := now.writes
	if was.machine == now.machine {
		more -= was.writes
	}
	if !known || more <= 0 {
		return
	}
	if n := len(w.reigns); n > 0 && w.reigns[n-1].node == node {
		w.reigns[n-1].to = at
		w.reigns[n-1].writes += more
		return
	}
	w.reigns = append(w.reigns, reign{node, at, at, more})
}

// stay is a time in which a guest certainly had something without a break.
type stay struct {
	node, what string
	from, to   time.Duration
}

// stays joins consecutive looks that found the same: it was there from the answer to
// the first until the last was asked for, at least.
func stays(node string, looks []look) (all []stay) {
	for i, l := range looks {
		for _, what := range l.has {
			if i > 0 && slices.Contains(looks[i-1].has, what) {
				for j := range slices.Backward(all) {
					if all[j].what == what {
						all[j].to = l.asked
						break
					}
				}
				continue
			}
			all = append(all, stay{node, what, l.answered, l.answered})
		}
	}
	return all
}

// thing is what the stay was of, without the id of a mount, which is the guest's.
func (s stay) thing() string { what, _, _ := strings.Cut(s.what, " id "); return what }

// twice lists what was certainly on two guests at one moment.
func (w *watch) twice() (bad []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []stay
	for node, looks := range w.looks {
		all = append(all, stays(node, looks)...)
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.node != b.node && a.thing() == b.thing() && a.from <= b.to && b.from <= a.to {
				bad = append(bad, fmt.Sprintf("%s was on %s from %.1f to %.1f s and on %s from %.1f to %.1f s",
					a.thing(), a.node, a.from.Seconds(), a.to.Seconds(), b.node, b.from.Seconds(), b.to.Seconds()))
			}
		}
	}
	slices.Sort(bad)
	return bad
}

// story is who wrote to the shared disk, one after the other, and how many looks there
// were at what the guests have.
func (w *watch) story() (order []string, text string, looks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var parts []string
	for _, r := range w.reigns {
		order = append(order, r.node)
		parts = append(parts, fmt.Sprintf("%s from %.0f to %.0f s (%d writes)", r.node, r.from.Seconds(), r.to.Seconds(), r.writes))
	}
	for _, l := range w.looks {
		looks += len(l)
	}
	return order, strings.Join(parts, ", "), looks
}

// follows reports whether those who wrote come in the order of those who may: some of
// these may not have written, and nobody else has.
func follows(wrote, may []string) bool {
	for _, node := range may {
		if len(wrote) > 0 && wrote[0] == node {
			wrote = wrote[1:]
		}
	}
	return len(wrote) == 0
}
