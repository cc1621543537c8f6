package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"understudy/config"
)

// declared: no step names what the file does not.
func declared(t failer, c *config.Config, g *config.Group, s *Snapshot, step Step) {
	t.Helper()
	same := func(x, y any) bool { return fmt.Sprintf("%+v", x) == fmt.Sprintf("%+v", y) }
	device := func(path string, v config.Volume) bool {
		return slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool {
			return !fs.Local && (path != "" && fs.Device == path && fs.Volume == "" || path == "" && fs.Volume == v.Name && v.Name != "")
		}) || slices.ContainsFunc(g.Aggregates, func(a config.Aggregate) bool {
			return path != "" && a.Device == path && a.Volume == "" || path == "" && a.Volume == v.Name && v.Name != ""
		})
	}
	application := func(a config.Application) bool {
		return slices.ContainsFunc(g.Applications, func(b config.Application) bool { return same(a, b) })
	}
	claim := s.Store.Value.Claims[g.Name]
	ok := false
	switch st := step.(type) {
	case Fence:
		n := c.Node(st.Node)
		ok = st.Node == claim.Holder && st.BootID == claim.BootID && st.Node != s.Node && n != nil && len(n.Fences) > 0 && same(st.Methods, n.Fences)
	case TakeClaim:
		ok = st.Group == g.Name && st.Epoch == claim.Epoch+1 && same(st.Was, claim)
	case SignOff:
		ok = st.Group == g.Name && st.Epoch == claim.Epoch
	case Activate:
		ok = device(st.Device, st.Volume)
	case Reserve:
		ok = g.Reservation == config.ReservationRequired && device(st.Device, st.Volume) && st.Key.Of(NewReservationKey(c, g.Name, s.Node, 0))
	case Unreserve:
		ok = g.Reservation == config.ReservationRequired && device(st.Device, st.Volume) && st.Key.Of(NewReservationKey(c, g.Name, s.Node, 0))
	case Deactivate:
		ok = device(st.Device, st.Volume)
	case MountFS:
		ok = slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool { return same(fs, st.FS) })
	case Unmount:
		// The last mount at the point is the one that an unmount takes off.
		i := len(s.Mounts.Value) - 1
		for i >= 0 && s.Mounts.Value[i].Point != st.Point {
			i--
		}
		ok = i >= 0 && isDevice(st.FS.Device, s.Mounts.Value[i], s) &&
			slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool { return same(fs, st.FS) })
	case AddAddress:
		ok = slices.ContainsFunc(g.Addresses, func(a config.ServiceAddress) bool { return a == st.Address }) &&
			(!s.Links.OK() || slices.ContainsFunc(s.Links.Value, func(l Link) bool { return l.Name == st.Link }))
	case DropAddress:
		ok = slices.ContainsFunc(g.Addresses, func(a config.ServiceAddress) bool { return a == st.Address })
	case SetHostname:
		ok = st.Name == g.Hostname && st.Name != ""
	case RestoreHostname:
		saved := s.Memory[g.Name].SavedHostname
		ok = st.Name != "" && (st.Name == saved || saved == "" && st.Name == s.Hostname.Value)
	case PurgeFiles:
		ok = strings.HasPrefix(st.Purge.Path, st.Mount+"/") &&
			slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool { return fs.Mount == st.Mount }) &&
			slices.ContainsFunc(g.Applications, func(a config.Application) bool { return slices.Contains(a.Purge, st.Purge) })
	case Start:
		ok = st.Group == g.Name && application(st.App)
	case Verify:
		ok = st.Group == g.Name && application(st.App)
	case Stop:
		ok = st.Group == g.Name && application(st.App)
	case MarkDirty:
		ok = st.Group == g.Name && st.BootID == s.BootID && slices.ContainsFunc(g.Applications, func(a config.Application) bool { return a.Name == st.App && a.RebootToRelease })
	case Reboot:
		ok = st.Group == g.Name && st.Why != "" && (g.Reboot == config.RebootByUnderstudy || st.AtOnce && g.OnReleaseFailure == config.RebootOnReleaseFailure)
	case ProveRelease:
		ok = same(st.Group, *g)
	case RunHook:
		ok = st.Group == g.Name && slices.ContainsFunc(c.Hooks, func(h config.Hook) bool {
			return same(h, st.Hook) && h.Group == g.Name && slices.Contains(h.Nodes, s.Node)
		})
	case Notify:
		ok = st.Group == g.Name && st.Text != ""
	}
	if !ok {
		t.Fatalf("the file does not ask for %T %+v", step, step)
	}
}

// unknownLeftAlone: nothing is planned about a part that could not be read.
func unknownLeftAlone(t failer, s *Snapshot, step Step) {
	t.Helper()
	switch step.(type) {
	case MountFS, Unmount, Activate, Deactivate:
		if !s.Mounts.OK() {
			t.Fatalf("%T though the mount table could not be read", step)
		}
	case AddAddress, DropAddress:
		if !s.Addrs.OK() {
			t.Fatalf("%T though the addresses could not be read", step)
		}
	case SetHostname:
		if !s.Hostname.OK() {
			t.Fatalf("%T though the host name could not be read", step)
		}
	}
}

// proven: storage is touched only behind a claim, a foreign claim is taken only
// on evidence, and the evidence is looked up here once more, in other words.
func proven(t failer, s *Snapshot, d Decision) {
	t.Helper()
	claim := s.Store.Value.Claims[d.Plan.Group]
	mine := ours(claim, s)
	if d.Plan.Empty() {
		return
	}
	if s.Lease.Left(s.At) == 0 || !s.Store.OK() {
		t.Fatalf("takes something up without a lease or a store:\n%s", text(d.Plan))
	}
	fenced := false
	for i, p := range d.Plan.Steps {
		switch st := p.Step.(type) {
		case Fence:
			if i != 0 || mine || claim.Released || s.Peer(st.Node).State != PeerSilent {
				t.Fatalf("fences out of turn, or a node that is heard:\n%s", text(d.Plan))
			}
			fenced = true
			continue
		case TakeClaim:
			if mine {
				if st.Evidence.Kind != EvidenceOwn || s.Memory[d.Plan.Group].Lost != claim.Epoch {
					t.Fatalf("takes its own claim again on %q", st.Evidence.Kind)
				}
				continue
			}
			if !d.Inventory.Clean() || s.Stopping != "" || s.Memory[d.Plan.Group].Failed != "" {
				t.Fatalf("takes the group on a host that is not fit:\n%s", text(d.Plan))
			}
			ok := false
			boot := claim.BootID
			switch st.Evidence.Kind {
			case EvidenceFirst:
				ok = claim.Epoch == 0
			case EvidenceReleased:
				ok = claim.Released
			case EvidenceFenced:
				ok = fenced || s.Store.Value.Fenced[claim.Holder].BootID == boot
			case EvidenceConfirmed:
				ok = s.Store.Value.Confirms[claim.Holder].BootID == boot
			case EvidenceWatchdog:
				peer := s.Peer(claim.Holder)
				ok = s.Store.Value.Outlasted[claim.Holder] == boot && s.Store.Value.Live[claim.Holder] == "" &&
					(peer.State == PeerSilent || peer.State == PeerHeard && peer.Status.HoldsNothing)
			case EvidenceRebooted:
				live, peer := s.Store.Value.Live[claim.Holder], s.Peer(claim.Holder)
				ok = claim.Holder == s.Node && s.BootID != boot || live != "" && live != boot ||
					peer.State == PeerHeard && peer.BootID != boot
			}
			if !ok || st.Reason == "" {
				t.Fatalf("claims on %q, which the snapshot does not show, because %q", st.Evidence.Kind, st.Reason)
			}
			mine = true
			continue
		}
		if !mine {
			t.Fatalf("step %d comes before the claim:\n%s", p.N, text(d.Plan))
		}
	}
}
