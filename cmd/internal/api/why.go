package api

import (
	"fmt"
	"strings"
	"time"
)

// Why is the answer to "why is it there?", for a group or a service, in one sentence, and, where the group
// is not served or something waits, a second one that says what for.
func Why(s Status, group string) (string, error) {
	for _, g := range s.Groups {
		if g.Group == group {
			return strings.Join(why(s, g), "\n"), nil
		}
	}
	for _, sv := range s.Services {
		if sv.Name == group {
			return whyService(s, sv), nil
		}
	}
	return "", fmt.Errorf("cannot say anything about group %q: this node is not one of its nodes", group)
}

func why(s Status, g GroupStatus) []string {
	c := g.Claim
	var out []string
	for _, o := range s.Orders {
		if o.Order != "drain" && o.Object == g.Group || o.Order == "drain" {
			out = append(out, o.String()+".")
		}
	}
	switch {
	case s.Store.Kind == "external" && c.Holder == "":
		out = append(out, fmt.Sprintf("%s is not wholly on %s, and no other node says that all of it is there: %s.", g.Group, s.Node, g.Because))
	case s.Store.Kind == "external" && c.Holder == s.Node:
		out = append(out, fmt.Sprintf("%s is on %s: %s.", g.Group, c.Holder, g.Because))
	case s.Store.Kind == "external":
		out = append(out, fmt.Sprintf("%s is on %s: %s.", g.Group, c.Holder, c.Reason))
	case !s.Store.Readable:
		out = append(out, fmt.Sprintf("%s cannot say where %s is: the store could not be read: %s.", s.Node, g.Group, s.Store.Error))
	case c.Epoch == 0:
		out = append(out, fmt.Sprintf("%s is nowhere: it was never claimed.", g.Group))
	case c.Released:
		out = append(out, fmt.Sprintf("%s is nowhere: %s let it go and signed off epoch %d.", g.Group, c.Holder, c.Epoch))
	default:
		out = append(out, fmt.Sprintf("%s is on %s since %s, epoch %d, because %s.", g.Group, c.Holder, c.At.Local().Format(time.DateTime), c.Epoch, strings.TrimSuffix(c.Reason, ".")))
		if c.Detail != "" && c.Detail != c.Reason {
			out = append(out, fmt.Sprintf("Evidence: %s (%s).", c.Evidence, c.Detail))
		}
	}
	if c.Pinned != "" {
		out = append(out, fmt.Sprintf("It stays there until it is moved or fails: put there %s.", c.Pinned))
	}
	if g.Flight != nil {
		out = append(out, fmt.Sprintf("%s is at step %d of %d: %s (plan %s).", s.Node, g.Flight.N, g.Flight.Of, g.Flight.Step, g.Flight.Fingerprint))
	}
	if c.Holder != s.Node || c.Released {
		for _, b := range g.Blocked {
			out = append(out, fmt.Sprintf("%s cannot: %s.", s.Node, b))
		}
		for _, w := range g.Waits {
			out = append(out, fmt.Sprintf("%s does not take it: %s.", s.Node, w))
		}
	} else if g.Phase != "serving" && g.Flight == nil {
		out = append(out, fmt.Sprintf("%s is %s: %s.", s.Node, g.Phase, firstOf(g.Blocked, g.Waits, g.Because)))
	}
	for _, p := range s.Peers {
		for _, pg := range p.Groups {
			if pg.Group == g.Group && pg.Reason != "" && p.State == "heard" {
				out = append(out, fmt.Sprintf("%s is %s, %s: %s.", p.Name, pg.Role, pg.Phase, strings.TrimSuffix(pg.Reason, ".")))
			}
		}
	}
	return out
}

// String is the order in words: "files is frozen by root until 14:00: new disks".
func (o OrderStatus) String() string {
	word := map[string]string{"freeze": "frozen", "drain": "drained", "stop": "stopped"}[o.Order]
	until := "until it is taken back"
	if !o.Until.IsZero() {
		until = "until " + o.Until.Local().Format(time.DateTime)
	}
	return strings.TrimSuffix(fmt.Sprintf("%s is %s by %s %s: %s", o.Object, word, o.By, until, o.Reason), ": ")
}

func firstOf(blocked, waits []string, otherwise string) string {
	if len(blocked) > 0 {
		return blocked[0]
	}
	if len(waits) > 0 {
		return waits[0]
	}
	return otherwise
}

// whyService tells of a service, which is nowhere else.
func whyService(s Status, sv ServiceStatus) string {
	out := fmt.Sprintf("%s is a service of %s: it is kept up there whoever holds the groups.", sv.Name, s.Node)
	if sv.State != "present" {
		out += fmt.Sprintf("\nIt is not up: %s.", strings.TrimSuffix(sv.Detail, "."))
	}
	if why := sv.Waits; why != "" {
		out += fmt.Sprintf("\nIt waits: %s.", strings.TrimSuffix(why, "."))
	} else if sv.Error != "" {
		out += fmt.Sprintf("\nIts last start failed: %s.", strings.TrimSuffix(sv.Error, "."))
	}
	return out
}
