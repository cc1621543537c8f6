package sim

import (
	"fmt"
	"slices"
	"time"
)

// client writes a line to every group all the time. Whoever has the address and
// the application answers; a line that was answered must be there for ever.
func (w *world) client(stop <-chan struct{}) {
	tick := time.NewTicker(37*time.Millisecond + 11*time.Nanosecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		w.mu.Lock()
		for i := range w.cfg.Groups {
			w.write(i, n)
		}
		w.mu.Unlock()
	}
}

func (w *world) write(i, n int) {
	g := &w.cfg.Groups[i]
	var last *host
	for _, h := range w.hosts {
		if !h.up || h.frozen || h.pathless || h.dark[g.Addresses[0].Network] || !h.addrs[g.Addresses[0].Label] {
			continue
		}
		device, runs := h.apps[g.Name+"/"+g.Applications[0].Name]
		v := h.mounts[device]
		if !runs || v == nil {
			continue
		}
		if last != nil {
			w.twoOwners(h, g.Name, "%s answers for %s while %s does", h.name, g.Name, last.name)
		}
		last = h
		line := fmt.Sprintf("%s-%d", g.Name, n)
		v.lines = append(v.lines, line)
		w.disks[device].lines = slices.Clone(v.lines) // what this kernel thinks the file is
		w.answered[g.Name] = append(w.answered[g.Name], line)
		if gap := time.Since(w.served[g.Name]); w.served[g.Name].IsZero() || gap > 100*time.Millisecond {
			if !w.served[g.Name].IsZero() {
				w.outages = append(w.outages, gap)
			}
			w.say("client", "%s answers for %s again", h.name, g.Name)
		}
		w.served[g.Name] = time.Now()
	}
}

// lost lists the answered lines of a group that are not on its device.
func (w *world) lost(i int) []string {
	g := &w.cfg.Groups[i]
	there := map[string]bool{}
	for _, l := range w.disks[g.Filesystems[0].Device].lines {
		there[l] = true
	}
	var out []string
	for _, l := range w.answered[g.Name] {
		if !there[l] {
			out = append(out, l)
		}
	}
	return out
}
