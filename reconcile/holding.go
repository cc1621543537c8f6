package reconcile

import "understudy/config"

// Holding says what a host holds of the shared storage, for its watchdog.
type Holding int

// What can be held. The zero value: what decides it could not be read.
const (
	HoldsUnknown Holding = iota
	HoldsNothing
	HoldsOwn     // of its own claims, or of none that could be read
	HoldsForeign // something of a group whose claim another node has by now
)

// Holds says what this host holds after a pass. Had are the groups that this run has
// taken up or was seen to hold, until their release was proved; flying are those
// that a plan under way takes up. What lies here without a claim and was never held is a stray:
// it is let go like everything, and no reason to reset a host.
func Holds(c *config.Config, s *Snapshot, decisions map[string]Decision, had, flying map[string]bool) Holding {
	out := HoldsNothing
	for i := range c.Groups {
		g := &c.Groups[i]
		d, decides := decisions[g.Name]
		if !decides || d.Facts.Clean && !flying[g.Name] && !had[g.Name] {
			continue
		}
		claim := s.Store.Value.Claims[g.Name]
		mine := s.Store.OK() && ours(claim, s)
		held := had[g.Name] || flying[g.Name] || mine || d.Transition.To.Holds()
		switch {
		case !held && !s.Store.OK():
			if out == HoldsNothing {
				out = HoldsUnknown
			}
		case !held:
		case s.Store.OK() && !mine && !flying[g.Name] && claim.Epoch > 0 && !claim.Released:
			return HoldsForeign
		default:
			out = HoldsOwn
		}
	}
	return out
}
