package reconcile

import (
	"net/netip"
	"slices"
)

// carries reports whether packets get through the adapter of a host of the model that
// has an address of its own. One that could not be looked at works.
func (w *World) carries(s *Snapshot, own netip.Addr) bool {
	if !s.Addrs.OK() || !s.Links.OK() {
		return true
	}
	i := slices.IndexFunc(s.Addrs.Value, func(a Addr) bool { return a.Prefix.Addr() == own })
	if i < 0 {
		return false
	}
	link := s.Addrs.Value[i].Link
	return !slices.Contains(w.Deaf[s.Node], link) && slices.ContainsFunc(s.Links.Value, func(l Link) bool {
		return l.Name == link && l.Up && l.Carrier
	})
}
