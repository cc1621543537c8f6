package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"understudy/config"
)

// WhatIf is something that might happen, as `plan --what-if` takes it.
type WhatIf struct {
	Kind  WhatIfKind
	Node  string // NodeDown, NodeUp, Move
	Group string // Move, and the group of the object for the rest
	Name  string // daemon or application, label, mount point
}

// WhatIfKind is the word before the equals sign.
type WhatIfKind string

// The kinds of what-if.
const (
	NodeDown    WhatIfKind = "node-down"    // =NODE
	NodeUp      WhatIfKind = "node-up"      // =NODE
	Move        WhatIfKind = "move"         // =GROUP:NODE
	DaemonDied  WhatIfKind = "daemon-died"  // =DAEMON or APPLICATION
	AddressLost WhatIfKind = "address-lost" // =LABEL
	MountLost   WhatIfKind = "mount-lost"   // =MOUNT POINT
)

// ParseWhatIf reads KIND=OBJECT and checks that the object is in the file.
func ParseWhatIf(c *config.Config, s string) (WhatIf, error) {
	kind, object, ok := strings.Cut(s, "=")
	if !ok || object == "" {
		return WhatIf{}, fmt.Errorf("cannot understand what-if %q — write KIND=OBJECT, for example node-down=%s", s, firstNode(c))
	}
	w := WhatIf{Kind: WhatIfKind(kind), Name: object}
	switch w.Kind {
	case NodeDown, NodeUp:
		w.Node = object
	case Move:
		w.Group, w.Node, ok = strings.Cut(object, ":")
		g := c.Group(w.Group)
		if !ok || g == nil {
			return w, fmt.Errorf("cannot understand %q — write move=GROUP:NODE with a group of the file (%s)", s, groupNames(c))
		}
		if g.Priority(w.Node) < 0 {
			return w, fmt.Errorf("cannot move %s to %q: it is not one of its nodes (%s)", w.Group, w.Node, strings.Join(g.Nodes, ", "))
		}
	case DaemonDied, AddressLost, MountLost:
		for i := range c.Groups {
			if declares(&c.Groups[i], w) {
				w.Group = c.Groups[i].Name
			}
		}
		if w.Group == "" {
			return w, fmt.Errorf("cannot find %q for %s: no group of the file declares it", object, kind)
		}
	default:
		return w, fmt.Errorf("cannot understand what-if %q — the kinds are node-down, node-up, move, daemon-died, address-lost, mount-lost", s)
	}
	if w.Node != "" && c.Node(w.Node) == nil {
		return w, fmt.Errorf("cannot find node %q in the file", w.Node)
	}
	return w, nil
}

// String is the what-if as it was written.
func (w WhatIf) String() string { return string(w.Kind) + "=" + w.Name }

func firstNode(c *config.Config) string {
	if len(c.Nodes) == 0 {
		return "NODE"
	}
	return c.Nodes[0].Name
}

func groupNames(c *config.Config) string {
	names := make([]string, len(c.Groups))
	for i, g := range c.Groups {
		names[i] = g.Name
	}
	return strings.Join(names, ", ")
}

// declares reports whether the object of a what-if is one of g's resources.
func declares(g *config.Group, w WhatIf) bool {
	switch w.Kind {
	case DaemonDied:
		return slices.ContainsFunc(g.Applications, func(a config.Application) bool { return hasDaemon(a, w.Name) })
	case AddressLost:
		return slices.ContainsFunc(g.Addresses, func(a config.ServiceAddress) bool { return a.Label == w.Name })
	case MountLost:
		return slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool { return fs.Mount == w.Name })
	}
	return false
}

// hasDaemon reports whether name is the application or one of its daemons.
func hasDaemon(a config.Application, name string) bool {
	return a.Name == name || slices.ContainsFunc(a.Daemons, func(d config.Daemon) bool { return d.Name == name })
}
