package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"understudy/config"
)

// Services is what one pass finds for the services of one node.
type Services struct {
	Items []Item // in the order of their starts
	Plan  Plan   // its Group is NodeGroup
}

// Services of a node are kept up there whatever the lease and the store say, and
// are not stopped when understudy is: a DCE client belongs to its host (guide,
// "Planning Considerations for DCE", mutual takeover: clients run on both peers and
// are not taken over). What of them is down is started in the order of the file, a
// DFS client only beside a DCE client that is up.
//
// A service that is kept to the addresses of the groups at home on its node waits
// for the first of them: the addresses are found once, at the start, and with all
// others excluded there would be none.

// ServiceKey is the key under which a node remembers a service.
func ServiceKey(name string) string { return NodeGroup + "/" + name }

// ServicesOn lists the services of a node in the order of their starts: that of the
// file, with DFS clients behind DCE clients.
func ServicesOn(c *config.Config, node string) []config.Service {
	var out []config.Service
	for _, sv := range c.Services {
		if slices.Contains(sv.Nodes, node) {
			out = append(out, sv)
		}
	}
	slices.SortStableFunc(out, func(a, b config.Service) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

func rank(sv config.Service) int {
	switch sv.Kind {
	case config.KindDFSClient, config.KindDFSUser:
		return 1
	}
	return 0
}

// DecideServices is one pass over the services of the node that looked.
func DecideServices(c *config.Config, s *Snapshot) Services {
	out := Services{Plan: Plan{Group: NodeGroup, Node: s.Node, Goal: Hold, Why: "its services run"}}
	p := &out.Plan
	down := map[config.Kind]bool{} // kinds of which a service is not up and is not being started
	var missing []string
	for _, sv := range ServicesOn(c, s.Node) {
		it := appItem(NodeGroup, sv.Application, s)
		out.Items = append(out.Items, it)
		if it.State == Present {
			continue
		}
		missing = append(missing, sv.Name+" "+it.Detail)
		if it.State == Unknown {
			p.Blocked = append(p.Blocked, Reason{Text: sv.Name + ": " + it.Detail, Way: "nothing is planned about what is unknown"})
			down[sv.Kind] = true
			continue
		}
		steps, why := startService(c, s, sv, it, down)
		if why != (Reason{}) {
			p.Waits = append(p.Waits, why)
			down[sv.Kind] = true
			continue
		}
		p.Steps = append(p.Steps, steps...)
	}
	if len(missing) > 0 {
		p.Why = strings.Join(missing, "; ")
	}
	for i := range p.Steps {
		p.Steps[i].N = i + 1
	}
	return out
}

// startService gives the steps that bring one service up, or why it has to wait.
func startService(c *config.Config, s *Snapshot, sv config.Service, it Item, down map[config.Kind]bool) ([]Planned, Reason) {
	if s.Stopping != "" { // it would be cut short, and the host may be on its way down
		return nil, Reason{Text: sv.Name + " is not started: this node is leaving: " + s.Stopping}
	}
	if m := s.Memory[ServiceKey(sv.Name)]; s.At.Before(m.Retry) {
		return nil, Reason{Text: sv.Name + ": " + cmp.Or(m.Error, it.Detail), Way: "it is started again by itself"}
	}
	if sv.Kind == config.KindDFSClient && down[config.KindDCEClient] {
		return nil, Reason{Text: sv.Name + " waits for the DCE client", Way: "it starts by itself"}
	}
	if label := awaited(c, s, sv); label != "" {
		return nil, Reason{Text: fmt.Sprintf("%s waits for the address %s, the only kind it may use", sv.Name, label), Way: "it starts by itself when the group comes up here"}
	}
	env, err := RPCEnvironment(c, nil, sv.Application, s)
	if err != nil {
		return nil, Reason{Text: err.Error(), Way: rpcWay(err, s)}
	}
	var out []Planned
	why := sv.Name + " " + it.Detail
	if it.State == Wrong {
		out = append(out, Planned{Step: Stop{Group: NodeGroup, App: sv.Application, Environment: env}, Why: why})
	}
	return append(out,
		Planned{Step: Start{Group: NodeGroup, App: sv.Application, Environment: env}, Why: why},
		Planned{Step: Verify{Group: NodeGroup, App: sv.Application}, Why: "an exit status is no proof"}), Reason{}
}

// awaited is the label of an address that a service has to wait for, "" if it need
// not: one of those that it may use is here, or it may use any.
func awaited(c *config.Config, s *Snapshot, sv config.Service) string {
	own := ownLabels(c, nil, s.Node)
	if !sv.RPCExclude && len(sv.RPCInterfaces) == 0 || len(own) == 0 {
		return ""
	}
	for _, h := range s.Addrs.Value {
		if isOne(own, h.Prefix.Addr()) {
			return ""
		}
	}
	return own[0].Label
}

// needs lists the kinds of client that applications of a group need on its node
// (guide, "Planning Considerations for DCE"): none if the group brings the server
// itself.
func needs(g *config.Group) []config.Kind {
	var out []config.Kind
	has := func(kinds ...config.Kind) bool {
		return slices.ContainsFunc(g.Applications, func(a config.Application) bool { return slices.Contains(kinds, a.Kind) })
	}
	if has(config.KindDCEUser, config.KindDFSUser) && !has(config.KindDCEServer) {
		out = append(out, config.KindDCEClient) // DFS sits on DCE
	}
	if has(config.KindDFSUser) && !has(config.KindDFSServer) {
		out = append(out, config.KindDFSClient)
	}
	return out
}

// lacking says which client that the group needs does not work on this node. A
// node for which the file declares none is left to its administrator.
func lacking(c *config.Config, g *config.Group, s *Snapshot) (config.Service, Reason, bool) {
	wanted := needs(g)
	if len(wanted) == 0 {
		return config.Service{}, Reason{}, false
	}
	for _, sv := range ServicesOn(c, s.Node) {
		if !slices.Contains(wanted, sv.Kind) {
			continue
		}
		it := appItem(NodeGroup, sv.Application, s)
		switch st, _ := appState(NodeGroup, sv.Name, s); {
		case it.State != Present:
		case len(sv.Probes) > 0 && sv.ProbeInterval > 0 && st.Probe != ProbeGood:
			it.Detail = "its probe has not been good yet"
		default:
			continue
		}
		return sv, Reason{Text: fmt.Sprintf("%s, which %s needs, does not work on %s: %s", sv.Name, g.Name, s.Node, it.Detail), Way: "it is started by itself; look at: understudy status"}, true
	}
	return config.Service{}, Reason{}, false
}

// withoutClient says why this node is no target for the group. A client that waits
// for an address of this very group is no reason: it comes up between the address
// and the application.
func withoutClient(c *config.Config, g *config.Group, s *Snapshot) (Reason, bool) {
	sv, why, ok := lacking(c, g, s)
	if ok && g.Home() == s.Node && s.Addrs.OK() && awaited(c, s, sv) != "" && len(g.Addresses) > 0 {
		return Reason{}, false
	}
	return why, ok
}

// startable are the applications up to the first that needs a client which does
// not work here yet; those after it depend on it.
func (b *builder) startable(apps []config.Application) []config.Application {
	_, why, waits := lacking(b.c, b.g, b.s)
	i := slices.IndexFunc(apps, func(a config.Application) bool {
		return a.Kind == config.KindDCEUser || a.Kind == config.KindDFSUser
	})
	if !waits || i < 0 {
		return apps
	}
	b.plan.Waits = append(b.plan.Waits, why)
	return apps[:i]
}

// notices adds what people must be told after the start of an application whose
// files were purged: endpoints and credentials of the last run are gone (guide, "DCE
// Failover Actions"). Applications of the group that depend on it start after it;
// services of this node that do are named.
func (b *builder) notices(a config.Application) {
	if len(a.Purge) == 0 {
		return
	}
	if a.Notice != "" {
		b.add(Notify{Group: b.g.Name, App: a.Name, Text: a.Notice}, "files of its last run were purged")
	}
	if a.Kind != config.KindDCEServer && a.Kind != config.KindDFSServer {
		return
	}
	for _, sv := range ServicesOn(b.c, b.s.Node) {
		if sv.Kind == config.KindOther || b.appState(sv) == Absent {
			continue
		}
		b.add(Notify{Group: b.g.Name, App: sv.Name, Text: fmt.Sprintf("%s was started anew and knows nothing of %s any more: it may have to register and to log in again", a.Name, sv.Name)}, "it runs on this node")
	}
}

func (b *builder) appState(sv config.Service) Presence {
	return appItem(NodeGroup, sv.Application, b.s).State
}
