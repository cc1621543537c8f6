package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"understudy/config"
	"understudy/fsm"
)

// drawConfig writes a small file and parses it, so that every config of the
// properties is one that a person could have written.
func drawConfig(t *rapid.T) *config.Config {
	var b strings.Builder
	b.WriteString("cluster = \"c\"\nkey_file = \"/etc/understudy/cluster.key\"\n[witness]\naddress = \"10.1.0.200\"\n")
	nodes := []string{"alpha", "beta", "gamma"}[:rapid.IntRange(2, 3).Draw(t, "nodes")]
	for i, n := range nodes {
		public := fmt.Sprintf("\"10.1.0.%d/24\"", i+1)
		if second := rapid.SampledFrom([]string{"", "10.4.0", "10.1.0"}).Draw(t, "second adapter"); second != "" {
			public = fmt.Sprintf("[%s, \"%s.%d/24\"]", public, second, i+101)
		}
		fmt.Fprintf(&b, "[node.%s]\naddresses = { public = %s, storage = \"10.2.0.%d/24\" }\n", n, public, i+1)
		if rapid.IntRange(0, 3).Draw(t, "unfenced") > 0 {
			b.WriteString("fence = { agent = \"fence_test\" }\n")
		}
	}
	for i := range rapid.IntRange(1, 2).Draw(t, "groups") {
		drawGroup(t, &b, i, nodes)
	}
	c, err := config.Parse("drawn.toml", []byte(b.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	drawServices(t, c)
	for i := range c.Groups {
		if rapid.IntRange(0, 2).Draw(t, "reservation") == 0 {
			c.Groups[i].Reservation = config.ReservationRequired
		}
	}
	return c
}

func drawGroup(t *rapid.T, b *strings.Builder, i int, nodes []string) {
	order := rapid.Permutation(nodes).Draw(t, "order")
	fmt.Fprintf(b, "[group.g%d]\nnodes = [\"%s\"]\n", i, strings.Join(order, `", "`))
	rotating := rapid.Bool().Draw(t, "rotating")
	defer drawHooks(t, b, fmt.Sprintf("g%d", i), rotating)
	if rotating {
		b.WriteString("policy = \"rotating\"\n")
		if rapid.Bool().Draw(t, "hostname") {
			fmt.Fprintf(b, "hostname = \"name%d\"\n", i)
		}
	} else {
		fmt.Fprintf(b, "fallback = %q\n", rapid.SampledFrom([]string{"immediate", "never", "11:00-13:00", "22:00-04:00"}).Draw(t, "fallback"))
	}
	apps := rapid.IntRange(0, 2).Draw(t, "applications")
	reboot := rapid.SampledFrom([]string{"", "", "by-hand", "automatic"}).Draw(t, "reboot")
	if reboot != "" {
		apps = max(1, apps)
		fmt.Fprintf(b, "reboot = %q\n", reboot)
	}
	if rapid.Bool().Draw(t, "self-fence") {
		b.WriteString("on_release_failure = \"self-fence\"\n")
	}
	for k := range rapid.IntRange(0, 2).Draw(t, "addresses") {
		fmt.Fprintf(b, "[[group.g%d.address]]\nlabel = \"ip%d%d\"\nprefix = \"10.%d.0.%d/%s\"\n", i, i, k, k+1, 50+i,
			rapid.SampledFrom([]string{"24", "32"}).Draw(t, "bits"))
	}
	mounts := rapid.SampledFrom([][]string{nil, {""}, {"", "/a"}, {"/a/b", "", "/c"}, {"/a", "/b"}}).Draw(t, "mounts")
	for k, m := range mounts {
		device := fmt.Sprintf("/dev/mapper/d%d%d", i, k)
		if rapid.Bool().Draw(t, "lvm") {
			device = fmt.Sprintf("/dev/vg%d%d/lv%d", i, k%2, k)
		}
		fmt.Fprintf(b, "[[group.g%d.filesystem]]\nmount = \"/srv/g%d%s\"\ndevice = %q\ntype = \"ext4\"\n", i, i, m, device)
	}
	if len(mounts) > 0 && rapid.IntRange(0, 3).Draw(t, "local") == 0 {
		fmt.Fprintf(b, "[[group.g%d.filesystem]]\nmount = \"/srv/g%d%s/cache\"\ndevice = \"/dev/own/cache%d\"\ntype = \"ext4\"\nlocal = true\n", i, i, mounts[0], i)
	}
	if rapid.IntRange(0, 3).Draw(t, "aggregate") == 0 {
		fmt.Fprintf(b, "[[group.g%d.aggregate]]\ndevice = %q\n", i, rapid.SampledFrom([]string{fmt.Sprintf("/dev/vg%d0/agg", i), fmt.Sprintf("/dev/mapper/agg%d", i)}).Draw(t, "export"))
	}
	for k := range apps {
		fmt.Fprintf(b, "[[group.g%d.application]]\nname = \"app%d%d\"\n", i, i, k)
		if rapid.Bool().Draw(t, "run") {
			b.WriteString("run = [\"/usr/bin/run\"]\n")
		} else {
			b.WriteString("start = [\"/usr/bin/up\"]\nstop = [\"/usr/bin/down\"]\nrpc_exclude = true\n" +
				"daemons = [{ name = \"one\", exe = \"/usr/bin/one\" }, { name = \"two\", exe = \"/usr/bin/two\" }]\n")
		}
		if rapid.Bool().Draw(t, "probe") {
			b.WriteString("probe = [\"/usr/bin/probe\"]\n")
		}
		if reboot != "" && (k == apps-1 || rapid.Bool().Draw(t, "reboot to release")) {
			b.WriteString("reboot_to_release = true\n")
		}
		if len(mounts) > 0 {
			fmt.Fprintf(b, "purge = [{ path = \"/srv/g%d%s/stale\", tree = true }]\n", i, rapid.SampledFrom(mounts).Draw(t, "purge"))
		}
	}
}

// drawWorld is a cluster at rest with up to six things wrong. Processes that
// cannot be read are left out where a plan must come to an end: a stop of what
// cannot be seen is planned again on every pass.
func drawWorld(t *rapid.T, apps bool) *World {
	w := Steady(drawConfig(t), noon)
	for range rapid.IntRange(0, 6).Draw(t, "wrong") {
		h := drawHost(t, w)
		g := &w.Config.Groups[rapid.IntRange(0, len(w.Config.Groups)-1).Draw(t, "group")]
		switch rapid.IntRange(0, 5).Draw(t, "where") {
		case 5:
			perturbReservation(t, w, g)
		case 0:
			perturbStore(t, w, h, g)
		case 1:
			perturbMemory(t, w, h, g)
		case 2:
			unread(t, h, apps)
		default:
			perturbHost(t, h, g)
		}
	}
	return w
}

// drawHost draws a place, so that a failure prints one and not the host.
func drawHost(t *rapid.T, w *World) *Snapshot {
	return w.Hosts[rapid.IntRange(0, len(w.Hosts)-1).Draw(t, "host")]
}

// perturbStore changes a record. What says that a boot has ended tells the truth:
// such a host is silent.
func perturbStore(t *rapid.T, w *World, h *Snapshot, g *config.Group) {
	c := w.Store.Claims[g.Name]
	switch rapid.IntRange(0, 9).Draw(t, "store") {
	case 0:
		c.Released = true
	case 1:
		c.Holder, c.BootID, c.Epoch, c.Released = h.Node, h.BootID, c.Epoch+1, false
	case 2:
		c.BootID = "another"
	case 3:
		c = Claim{} // and nobody remembers an epoch of it
		for _, h := range w.Hosts {
			h.Memory[g.Name] = Memory{Role: h.Memory[g.Name].Role}
		}
	case 4:
		f := FenceRecord{Node: h.Node, BootID: rapid.SampledFrom([]string{h.BootID, "another"}).Draw(t, "boot")}
		w.Store.Fenced[h.Node] = f
		w.Down[h.Node] = w.Down[h.Node] || f.BootID == h.BootID
	case 5:
		w.Down[h.Node] = true
		w.Store.Confirms[h.Node] = Confirmation{Node: h.Node, BootID: h.BootID, By: "operator"}
	case 6:
		w.Store.Requests[g.Name] = Request{Group: g.Name, To: rapid.SampledFrom(g.Nodes).Draw(t, "to"), By: "operator", Rehearse: rapid.SampledFrom([]Rehearsal{NoRehearsal, NoRehearsal, RehearseOne, RehearseHold}).Draw(t, "rehearse"), Epoch: c.Epoch}
	case 7:
		w.Store.Live[h.Node] = rapid.SampledFrom([]string{h.BootID, "later"}).Draw(t, "live")
		w.Down[h.Node] = w.Down[h.Node] || w.Store.Live[h.Node] == "later"
	case 8:
		c.Pinned = "by operator"
	case 9: // a shared disk says that a holder has been still for long enough
		delete(w.Store.Live, c.Holder)
		w.Down[c.Holder] = w.Down[c.Holder] || c.Holder != "" && rapid.Bool().Draw(t, "silent")
		w.Store.Outlasted = map[string]string{c.Holder: rapid.SampledFrom([]string{c.BootID, "another"}).Draw(t, "outlasted")}
	}
	w.Store.Claims[g.Name] = c
}

func perturbMemory(t *rapid.T, w *World, h *Snapshot, g *config.Group) {
	m := h.Memory[g.Name]
	switch rapid.IntRange(0, 11).Draw(t, "memory") {
	case 10:
		m.Dirty = h.BootID
	case 11:
		m.DirtyErr = "input/output error"
	case 0:
		m.Role = rapid.SampledFrom(fsm.Roles).Draw(t, "role")
	case 1:
		m.Failed = "it died too often"
	case 2:
		if g.Hostname != "" {
			m.SavedHostname, h.Hostname = h.Node, Read(g.Hostname, noon)
		}
	case 3:
		m.Retry, m.Error, m.ErrorVerb = noon.Add(time.Minute), "it failed", rapid.SampledFrom([]string{"fence", "mount"}).Draw(t, "verb")
	case 4:
		m.Lost = w.Store.Claims[g.Name].Epoch
	case 5:
		w.Down[h.Node] = true
	case 6:
		w.NoLease = with(w.NoLease, h.Node)
	case 7:
		w.NoStore = with(w.NoStore, h.Node)
	case 8:
		h.Stopping = "shutdown"
	case 9:
		h.Since = noon
	}
	h.Memory[g.Name] = m
}

// unread makes a part unreadable. What was read before stays in it, as a trap for
// whoever looks without asking.
func unread(t *rapid.T, h *Snapshot, apps bool) {
	err := errors.New("input/output error")
	last := 6
	if apps {
		last++
	}
	switch rapid.IntRange(0, last).Draw(t, "unread") {
	case 0:
		h.Mounts.Err = err
	case 1:
		h.Addrs.Err = err
	case 2:
		h.Links.Err = err
	case 3:
		h.Devices.Err = err
	case 4:
		h.Hostname.Err = err
	case 5:
		h.Volumes.Err = err
	case 6:
		h.Reservations.Err = err
	case 7:
		h.Apps.Err = err
	}
}

// perturbHost takes something of a group away, puts something of it here, or
// changes what is not the group's.
func perturbHost(t *rapid.T, h *Snapshot, g *config.Group) {
	what := rapid.IntRange(0, 10).Draw(t, "host change")
	if n := len(g.Filesystems); n > 0 && h.Mounts.OK() && what < 5 {
		fs := g.Filesystems[rapid.IntRange(0, n-1).Draw(t, "file system")]
		switch what {
		case 0:
			lose(h, g, WhatIf{Kind: MountLost, Name: fs.Mount})
		case 1:
			h.mount(fs)
		case 2:
			fs.Mount = "/mnt"
			h.mount(fs)
		case 3:
			h.Mounts.Value = append(slices.Clone(h.Mounts.Value), Mount{Point: rapid.SampledFrom([]string{fs.Mount, "/home"}).Draw(t, "point"), Source: "/dev/sdz1", Major: 8, Minor: 1})
		case 4:
			h.Mounts.Value = slices.Clone(h.Mounts.Value)
			for i := range h.Mounts.Value {
				h.Mounts.Value[i].ReadOnly = true
			}
		}
	}
	if n := len(g.Addresses); n > 0 && h.Addrs.OK() && (what == 5 || what == 6) {
		a := g.Addresses[rapid.IntRange(0, n-1).Draw(t, "address")]
		h.drop(a.Prefix.Addr())
		if what == 6 {
			h.address(a, rapid.SampledFrom([]string{"public", "storage"}).Draw(t, "link"))
		}
	}
	if n := len(g.Applications); n > 0 && h.Apps.OK() && what >= 7 && what < 9 {
		a := g.Applications[rapid.IntRange(0, n-1).Draw(t, "application")]
		if what == 7 {
			lose(h, g, WhatIf{Kind: DaemonDied, Name: a.Daemons[0].Name})
		} else {
			h.run(g.Name, a)
		}
	}
	if what == 10 {
		perturbVolume(t, h, g)
	}
	if what == 9 && h.Links.OK() {
		h.Links.Value = slices.Clone(h.Links.Value)
		h.Links.Value[rapid.IntRange(0, len(h.Links.Value)-1).Draw(t, "which link")].Carrier = rapid.Bool().Draw(t, "carrier")
	}
}
