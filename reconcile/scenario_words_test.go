package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"understudy/fsm"
)

// clusterFile is the config of a scenario: its own section config.toml, or the
// section cluster, whose first line names a file of testdata/clusters. Each
// further line there changes one key, "[TABLE] KEY = VALUE", or takes it out,
// "[TABLE] KEY".
func clusterFile(ar *txtar.Archive) ([]byte, error) {
	if own := section(ar, "config.toml"); own != nil {
		return own, nil
	}
	name, edits, _ := strings.Cut(strings.TrimSpace(string(section(ar, "cluster"))), "\n")
	data, err := os.ReadFile(filepath.Join("testdata", "clusters", name+".toml"))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(data), "\n")
	for edit := range strings.Lines(edits) {
		table, key, ok := strings.Cut(strings.TrimSpace(edit), "] ")
		at := slices.Index(lines, table+"]")
		if !ok || at < 0 {
			return nil, fmt.Errorf("no such table: %s", edit)
		}
		name, _, set := strings.Cut(key, " = ")
		end := at + 1
		for end < len(lines) && !strings.HasPrefix(lines[end], "[") {
			end++
		}
		body := slices.DeleteFunc(slices.Clone(lines[at+1:end]), func(l string) bool { return strings.HasPrefix(l, name+" = ") })
		if set {
			body = slices.Insert(body, 0, key)
		} else if len(body) == end-at-1 {
			return nil, fmt.Errorf("no such key: %s", edit)
		}
		lines = slices.Replace(lines, at+1, end, body...)
	}
	return []byte(strings.Join(lines, "\n")), nil
}

// look is what a host sees: the model, changed by the words "sees" and
// "never-had-lease".
func (s *scenario) look(h *Snapshot) *Snapshot {
	out := s.w.look(h)
	for _, change := range s.views[h.Node] {
		change(out)
	}
	return out
}

func with(m map[string]bool, name string) map[string]bool {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]bool{}
	}
	m[name] = true
	return m
}

// more are the further words for the cluster.
func (s *scenario) more(f []string) error {
	switch f[0] {
	case "holder": // holder GROUP NAME: the claim is of a machine that the file does not name
		c := s.w.Store.Claims[f[1]]
		c.Holder, c.BootID = f[2], "boot-of-"+f[2]
		s.w.Store.Claims[f[1]] = c
	case "live": // live NODE: the store has a lease of a later boot of it than the one that claimed
		s.w.Store.Live[f[1]] = "next-boot-of-" + f[1]
	case "outlasted": // outlasted NODE: the shared disk has shown its present boot still for ttl and watchdog bound
		delete(s.w.Store.Live, f[1])
		s.w.Store.Outlasted = map[string]string{f[1]: s.host(f[1]).BootID}
	case "failovers": // failovers GROUP AGO…: takings after failures, so long ago
		c := s.w.Store.Claims[f[1]]
		for _, ago := range f[2:] {
			d, err := time.ParseDuration(ago)
			if err != nil {
				return err
			}
			c.Failovers = append(c.Failovers, s.w.Now.Add(-d).Unix())
		}
		s.w.Store.Claims[f[1]] = c
	case "freeze", "drain": // freeze GROUP, drain NODE
		key := OrderKey(Order(f[0]), f[1])
		s.w.Store.Requests[key] = Request{Group: key, Order: Order(f[0]), To: f[1], By: "operator", Reason: "new disks", At: s.w.Now}
	case "stopped": // stopped GROUP NODE
		key := OrderKey(Stopped, f[1])
		s.w.Store.Requests[key] = Request{Group: key, Order: Stopped, To: f[1], By: f[2], Reason: "told to stop", At: s.w.Now}
	case "started": // started GROUP
		delete(s.w.Store.Requests, OrderKey(Stopped, f[1]))
	case "thaw":
		delete(s.w.Store.Requests, OrderKey(Freeze, f[1]))
	case "undrain":
		delete(s.w.Store.Requests, OrderKey(Drain, f[1]))
	case "by-hand": // by-hand NODE GROUP: print the plan of a frozen group, and carry it out
		h, g := s.host(f[1]), s.c.Group(f[2])
		p := Decide(s.c, g, Thawed(s.w.look(h), g.Name)).Plan
		fmt.Fprintf(&s.out, "== by hand on %s\n", h.Node)
		p.Text(&s.out)
		var done []Step
		for n := 0; n < 100; n++ {
			rest := ByHand(Decide(s.c, g, Thawed(s.w.look(h), g.Name)).Plan, done)
			if len(rest) == 0 {
				break
			}
			sp := rest[0].Step.Spec()
			fmt.Fprintf(&s.out, "step: %s %s\n", sp.Verb, sp.Object)
			s.w.apply(h, g, rest[0].Step)
			if done = append(done, rest[0].Step); !Traceless(rest[0].Step) {
				done = nil
			}
		}
		fmt.Fprintln(&s.out)
	case "rejoin": // rejoin NODE: a person has looked at it after its fence
		key := OrderKey(Rejoin, f[1])
		s.w.Store.Requests[key] = Request{Group: key, Order: Rejoin, To: f[1], By: "operator", BootID: s.w.Store.Fenced[f[1]].BootID, At: s.w.Now}
	case "reserved": // reserved OBJECT NODE EPOCH|nobody|foreign: what its disks know
		return s.reserved(f[1], f[2], f[3:])
	case "clear": // clear GROUP: a person does, for all nodes
		s.w.Store.Requests[OrderKey(Clear, f[1])] = Request{Group: OrderKey(Clear, f[1]), Order: Clear, To: f[1], By: "operator", Epoch: s.w.Store.Claims[f[1]].Epoch, At: s.w.Now}
		for _, h := range s.w.Hosts {
			m := h.Memory[f[1]]
			m.Failed = ""
			h.Memory[f[1]] = m
		}
	default:
		return errors.New("no such word")
	}
	return nil
}

// moreOnHost are the further words for one host.
func (s *scenario) moreOnHost(h *Snapshot, word string, args []string) error {
	switch word {
	case "sees": // NODE sees PEER unknown|heard|distant|silent, for the word decide
		state := slices.IndexFunc([]PeerState{PeerUnknown, PeerHeard, PeerDistant, PeerSilent}, func(p PeerState) bool { return p.String() == args[1] })
		if state < 0 {
			return errors.New("no such state of a peer")
		}
		s.views[h.Node] = append(s.views[h.Node], func(v *Snapshot) {
			for i := range v.Peers {
				if v.Peers[i].Name == args[0] {
					v.Peers[i].State = PeerState(state)
					if v.Peers[i].State != PeerHeard {
						v.Peers[i].BootID, v.Peers[i].Status = "", NodeStatus{}
					}
				}
			}
		})
	case "unread-for": // NODE unread-for GROUP TIME: a part of it could not be read for so long
		d, err := time.ParseDuration(args[1])
		if err != nil {
			return err
		}
		return s.remember(h, args[0], func(m *Memory) error { m.Unread = s.w.Now.Add(-d); return nil })
	case "last-word": // NODE last-word PEER WHY…: what PEER's boot in service said of its end
		boot := s.host(args[0]).BootID
		s.views[h.Node] = append(s.views[h.Node], func(v *Snapshot) {
			for i := range v.Peers {
				if v.Peers[i].Name == args[0] {
					v.Peers[i].LastWord = LastWord{BootID: boot, Text: strings.Join(args[1:], " ")}
				}
			}
		})
	case "never-had-lease":
		s.views[h.Node] = append(s.views[h.Node], func(v *Snapshot) { v.Lease = Lease{} })
	case "lease":
		delete(s.w.NoLease, h.Node)
	case "store":
		delete(s.w.NoStore, h.Node)
	case "reboot": // NODE reboot: it comes back as another boot, with what was on its own disk
		s.w.reboot(h)
		s.w.Down[h.Node] = false
	case "fails": // NODE fails VERB OBJECT: that step fails there from now on
		s.w.Fails = maps.Clone(s.w.Fails)
		if s.w.Fails == nil {
			s.w.Fails = map[string][]string{}
		}
		s.w.Fails[h.Node] = append(s.w.Fails[h.Node], strings.Join(args, " "))
	case "works": // NODE works: no step fails there any more
		delete(s.w.Fails, h.Node)
	case "begins": // NODE begins GROUP N: it carries out the first N steps of its plan, and the program is killed
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		g := s.c.Group(args[0])
		d := Decide(s.c, g, s.look(h))
		if n > len(d.Plan.Steps) {
			return fmt.Errorf("the plan has %d steps", len(d.Plan.Steps))
		}
		d.Plan.Steps = d.Plan.Steps[:n]
		s.w.carryOut(h, g, d.Plan)
		fmt.Fprintf(&s.out, "== %s is killed after: %s %s\n", h.Node, d.Plan.Steps[n-1].Step.Spec().Verb, d.Plan.Steps[n-1].Step.Spec().Object)
		return s.moreOnHost(h, "restart", nil)
	case "dirty-unread": // NODE dirty-unread GROUP WHY…: the record cannot be read
		return s.remember(h, args[0], func(m *Memory) error { m.DirtyErr = strings.Join(args[1:], " "); return nil })
	case "never-dirty": // NODE never-dirty GROUP: nothing was started in this boot that only a reboot ends
		return s.remember(h, args[0], func(m *Memory) error { m.Dirty, m.Ran = "", ""; return nil })
	case "clear": // NODE clear GROUP
		return s.remember(h, args[0], func(m *Memory) error { m.Failed = ""; return nil })
	case "restart": // NODE restart: the program, not the host
		for g := range h.Memory {
			m := h.Memory[g]
			m.Role = fsm.Rejoining
			h.Memory[g] = m
		}
		h.Since = s.w.Now
	case "later": // NODE later: it has looked for an hour
		h.Since = s.w.Now.Add(-time.Hour)
	case "volume":
		return volumeWord(h, args)
	case "hostname":
		h.Hostname = Read(args[0], noon)
	case "no-client": // NODE no-client SERVICE: it is down, and its last start has just failed
		for _, sv := range ServicesOn(s.c, h.Node) {
			if sv.Name == args[0] {
				h.setApp(AppState{Group: NodeGroup, App: sv.Name, Daemons: stopped(sv.Application)})
				return s.remember(h, ServiceKey(sv.Name), func(m *Memory) error {
					m.Retry, m.Error = s.w.Now.Add(time.Second), "start "+sv.Name+": exit status 1"
					return nil
				})
			}
		}
		return errors.New("no such service")
	case "services": // NODE services: print what it would do for its services when they may be tried
		h.Memory = maps.Clone(h.Memory)
		for _, sv := range ServicesOn(s.c, h.Node) {
			delete(h.Memory, ServiceKey(sv.Name))
		}
		fmt.Fprintf(&s.out, "== %s: services\n", h.Node)
		DecideServices(s.c, s.look(h)).Plan.Text(&s.out)
		fmt.Fprintln(&s.out)
	case "conflict": // NODE conflict LABEL: duplicate address detection found another holder
		h.Addrs.Value = slices.Clone(h.Addrs.Value)
		for _, g := range s.c.Groups {
			for _, a := range g.Addresses {
				for i := range h.Addrs.Value {
					if b := &h.Addrs.Value[i]; a.Label == args[0] && b.Prefix.Addr() == a.Prefix.Addr() {
						b.Conflict = true
					}
				}
			}
		}
	case "no-own-address": // NODE no-own-address NETWORK
		h.drop(s.c.Node(h.Node).Address(args[0]).Addr())
	case "deaf": // NODE deaf LINK: nothing gets through, and the carrier is there
		if s.w.Deaf == nil {
			s.w.Deaf = map[string][]string{}
		}
		s.w.Deaf[h.Node] = append(s.w.Deaf[h.Node], args[0])
	case "link-up": // NODE link-up LINK: its carrier is back, and whoever is on the wire is heard
		h.Links.Value = slices.Clone(h.Links.Value)
		for i := range h.Links.Value {
			h.Links.Value[i].Carrier = h.Links.Value[i].Carrier || h.Links.Value[i].Name == args[0]
		}
		if s.w.Deaf != nil {
			s.w.Deaf[h.Node] = slices.DeleteFunc(slices.Clone(s.w.Deaf[h.Node]), func(l string) bool { return l == args[0] })
		}
	case "second-link": // NODE second-link NAME: a link that is in no network of the file
		h.Links = Read(append(slices.Clone(h.Links.Value), Link{Index: 9, Name: args[0], Up: true, Carrier: true}), noon)
	case "stranger-address": // NODE stranger-address PREFIX LINK
		prefix, err := netip.ParsePrefix(args[0])
		h.Addrs = Read(append(slices.Clone(h.Addrs.Value), Addr{Link: args[1], Prefix: prefix}), noon)
		return err
	default:
		return s.external(h, word, args)
	}
	return nil
}
