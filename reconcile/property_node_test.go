package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"understudy/config"
	"understudy/fsm"
)

// drawHooks writes hooks of a group that a person could have written.
func drawHooks(t *rapid.T, b *strings.Builder, group string, rotating bool) {
	events := []string{"acquire", "release", "takeover", "node_up", "node_down"}
	if !rotating {
		events = append(events, "reintegration")
	}
	for k := range rapid.IntRange(0, 4).Draw(t, "hooks") {
		event := rapid.SampledFrom(events).Draw(t, "event")
		fmt.Fprintf(b, "[[hook]]\nname = \"%s-%d\"\ngroup = %q\nevent = %q\nwhen = %q\ncommand = [\"/usr/bin/hook\", \"%d\"]\n",
			group, k, group, event, rapid.SampledFrom([]string{"pre", "post"}).Draw(t, "when"), k)
		if event == "acquire" && rapid.Bool().Draw(t, "stop") {
			b.WriteString("on_failure = \"stop\"\n")
		}
	}
}

// drawServices gives every node a client, and lets applications need it.
func drawServices(t *rapid.T, c *config.Config) {
	if !rapid.Bool().Draw(t, "services") {
		return
	}
	var nodes []string
	for _, n := range c.Nodes {
		nodes = append(nodes, n.Name)
	}
	client := func(name string, kind config.Kind) config.Service {
		return config.Service{Nodes: nodes, Application: config.Application{
			Name: name, Kind: kind, Start: []string{"/usr/bin/" + name}, RPCExclude: rapid.Bool().Draw(t, "exclude"),
			Daemons: []config.Daemon{{Name: "d", Exe: "/usr/bin/" + name + "d"}},
		}}
	}
	c.Services = []config.Service{client("dfs", config.KindDFSClient), client("dce", config.KindDCEClient)}
	for i := range c.Groups {
		for k := range c.Groups[i].Applications {
			c.Groups[i].Applications[k].Kind = rapid.SampledFrom([]config.Kind{config.KindOther, config.KindDCEUser, config.KindDFSUser}).Draw(t, "kind")
		}
	}
}

// hooksInPlace: hooks have two places in a plan and no third, and a letting go that
// must not wait has only the last.
func hooksInPlace(t failer, d Decision) {
	t.Helper()
	work := func(p Planned) bool {
		switch p.Step.(type) {
		case RunHook, Fence, TakeClaim, ProveRelease, Unreserve, SignOff, Reboot:
			return false
		case Stop, SetHostname:
			return d.Goal == Clean // a taking up begins with its hooks; what hangs over is stopped before
		}
		return true
	}
	steps := d.Plan.Steps
	first := slices.IndexFunc(steps, work)
	last := len(steps) - 1
	for last >= 0 && !work(steps[last]) {
		last--
	}
	for i, p := range steps {
		h, ok := p.Step.(RunHook)
		switch {
		case !ok:
		case first >= 0 && i > first && i < last:
			t.Fatalf("hook %s stands in the middle:\n%s", h.Hook.Name, text(d.Plan))
		case first < 0 || i > last:
			if h.Hook.When != config.Post && first >= 0 {
				t.Fatalf("hook %s comes too late:\n%s", h.Hook.Name, text(d.Plan))
			}
		case h.Hook.When != config.Pre:
			t.Fatalf("hook %s comes too early:\n%s", h.Hook.Name, text(d.Plan))
		}
		if r, reset := p.Step.(Reboot); reset && r.AtOnce && slices.ContainsFunc(steps[:i], func(q Planned) bool { return isA[RunHook](q.Step) }) {
			t.Fatalf("a hook before a reset that must not wait:\n%s", text(d.Plan))
		}
		if ok && d.Goal == Clean && d.Transition.Event != fsm.Yield && i < last {
			t.Fatalf("hook %s holds up a letting go that must not wait:\n%s", h.Hook.Name, text(d.Plan))
		}
	}
}

// TestServicesAreSafe: whatever is wrong in a cluster, a plan of the services
// touches them alone, needs no lease, and is complete for each.
func TestServicesAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		h := drawHost(t, w)
		for _, sv := range ServicesOn(w.Config, h.Node) {
			if rapid.Bool().Draw(t, "down") {
				h.setApp(AppState{Group: NodeGroup, App: sv.Name, Daemons: stopped(sv.Application)})
			}
		}
		s := w.look(h)
		d := DecideServices(w.Config, s)
		var started []string
		for i, p := range d.Plan.Steps {
			sp := p.Step.Spec()
			if p.N != i+1 || p.Why == "" || sp.Storage || sp.Needs != 0 {
				t.Fatalf("step %+v", p)
			}
			switch st := p.Step.(type) {
			case Start:
				started = append(started, st.App.Name)
				if st.Group != NodeGroup || appItem(NodeGroup, st.App, s).State == Present {
					t.Fatalf("starts what it should not:\n%s", text(d.Plan))
				}
			case Verify:
				if len(started) == 0 || started[len(started)-1] != st.App.Name {
					t.Fatalf("verifies what it has not started:\n%s", text(d.Plan))
				}
			case Stop:
				if st.Group != NodeGroup {
					t.Fatalf("stops what is a group's:\n%s", text(d.Plan))
				}
			default:
				t.Fatalf("%T in a plan of services", p.Step)
			}
		}
		if i := slices.Index(started, "dfs"); i >= 0 {
			dce := slices.Index(started, "dce")
			if up := appItem(NodeGroup, ServicesOn(w.Config, h.Node)[0].Application, s).State == Present; !up && (dce < 0 || dce > i) {
				t.Fatalf("a DFS client without a DCE client:\n%s", text(d.Plan))
			}
		}
	})
}

// TestClientsComeFirst: an application that needs a client is started only where it
// works.
func TestClientsComeFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		each(w, func(_, s *Snapshot, g *config.Group, d Decision) {
			for _, p := range d.Plan.Steps {
				st, ok := p.Step.(Start)
				if !ok || st.App.Kind == config.KindOther {
					continue
				}
				kind := config.KindDCEClient
				if st.App.Kind == config.KindDFSUser {
					kind = config.KindDFSClient
				}
				for _, sv := range ServicesOn(w.Config, s.Node) {
					if it := appItem(NodeGroup, sv.Application, s); sv.Kind == kind && it.State != Present {
						t.Fatalf("%s is %s:\n%s", sv.Name, it.State, text(d.Plan))
					}
				}
			}
		})
	})
}
