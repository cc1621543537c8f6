package reconcile

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"understudy/config"
	"understudy/fsm"
)

// Read the diff of a golden before you commit it: a changed plan is a changed
// promise.
var update = flag.Bool("update", false, "rewrite the golden plans")

// noon is when every scenario happens.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// TestScenarios runs testdata/plans/*.txtar. A scenario is a config, a script
// that begins with the cluster at rest, and the plans that it prints. The words
// of the script are in (*scenario).do.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/plans/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			ar := txtar.Parse(data)
			file, err := clusterFile(ar)
			if err != nil {
				t.Fatal(err)
			}
			s, err := newScenario(file)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(section(ar, "script"))) {
				line = strings.TrimSpace(line)
				if line == "" || strings.HasPrefix(line, "#") {
					continue
				}
				if err := s.do(strings.Fields(line)); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
			for line := range strings.Lines(s.out.String()) {
				// A single word, a value of the environment for example, is not broken.
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && len(strings.Fields(line)) > 1 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			if *update {
				setSection(ar, "plans", s.out.Bytes())
				if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(section(ar, "plans")), s.out.String()); d != "" {
				t.Errorf("plans (-want +got):\n%s", d)
			}
		})
	}
}

func section(ar *txtar.Archive, name string) []byte {
	for _, f := range ar.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func setSection(ar *txtar.Archive, name string, data []byte) {
	for i := range ar.Files {
		if ar.Files[i].Name == name {
			ar.Files[i].Data = data
			return
		}
	}
	ar.Files = append(ar.Files, txtar.File{Name: name, Data: data})
}

type scenario struct {
	c     *config.Config
	w     *World
	views map[string][]func(*Snapshot) // by node: what it sees otherwise than the model says
	out   bytes.Buffer
}

func newScenario(file []byte) (*scenario, error) {
	c, err := config.Parse("config.toml", file)
	if err != nil {
		return nil, err
	}
	return &scenario{c: c, w: Steady(c, noon), views: map[string][]func(*Snapshot){}}, nil
}

// do carries out one line: either a word for the cluster or NODE WORD ….
func (s *scenario) do(f []string) error {
	if h := s.host(f[0]); h != nil && len(f) > 1 {
		return s.onHost(h, f[1], f[2:])
	}
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	switch f[0] {
	case "what-if": // let it happen and print every plan that follows
		e, err := ParseWhatIf(s.c, arg(1))
		if err != nil {
			return err
		}
		stages, err := s.w.Happen(e)
		if err != nil {
			return err
		}
		fmt.Fprintf(&s.out, "== %s\n", e)
		s.print(stages)
	case "settle": // let everybody decide and act, and print every plan
		fmt.Fprintln(&s.out, "== settle")
		s.print(s.w.Settle())
	case "fresh": // nobody has ever run: no claims, every node just booted
		s.w.Store.Claims = map[string]Claim{}
		for i, h := range s.w.Hosts {
			s.w.Hosts[i] = s.w.boot(h.Node, noon.Add(-time.Hour))
		}
	case "claim": // claim GROUP HOLDER EPOCH [released] [pinned] [old-boot]
		epoch, err := strconv.ParseUint(arg(3), 10, 64)
		if err != nil {
			return err
		}
		c := Claim{Group: arg(1), Holder: arg(2), Epoch: epoch, BootID: s.host(arg(2)).BootID, Reason: "the script says so", At: noon}
		c.Released = slices.Contains(f, "released")
		if slices.Contains(f, "pinned") {
			c.Pinned = "by operator"
		}
		if slices.Contains(f, "old-boot") {
			c.BootID = "old-boot-of-" + arg(2)
		}
		s.w.Store.Claims[arg(1)] = c
	case "fenced": // fenced NODE: a fence of its present boot is on record
		s.w.Store.Fenced[arg(1)] = FenceRecord{Node: arg(1), BootID: s.host(arg(1)).BootID, By: "somebody", Agent: "fence_test"}
	case "confirmed":
		s.w.Store.Confirms[arg(1)] = Confirmation{Node: arg(1), BootID: s.host(arg(1)).BootID, By: "operator", Reason: "seen off"}
	case "request": // request GROUP NODE [once|hold]: a move, or a rehearsal
		s.w.Store.Requests[arg(1)] = Request{Group: arg(1), To: arg(2), By: "operator", Epoch: s.w.Store.Claims[arg(1)].Epoch, Rehearse: Rehearsal(arg(3))}
	case "time": // time HH:MM
		at, err := time.Parse("15:04", arg(1))
		if err != nil {
			return err
		}
		s.w.Now = noon.Truncate(24 * time.Hour).Add(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute)
		for _, h := range s.w.Hosts {
			h.Since = s.w.Now.Add(-time.Hour)
		}
	default:
		return s.more(f)
	}
	return nil
}

// onHost carries out NODE WORD ARGS: a change made to one host behind
// understudy's back, or one decision of it.
func (s *scenario) onHost(h *Snapshot, word string, args []string) error {
	arg := strings.Join(args, " ")
	unread := errors.New("input/output error")
	switch word {
	case "decide": // NODE decide GROUP: print what it would do now, and do nothing
		g := s.c.Group(arg)
		d := Decide(s.c, g, s.look(h))
		fmt.Fprintf(&s.out, "== %s: %s on %s\n", h.Node, d.Transition.To, d.Transition.Event)
		says := fmt.Sprintf("%s, ready %v", d.Phase, d.Status.Ready)
		if d.Status.Reason != "" {
			says += ", as " + d.Status.Reason
		}
		writeWrapped(&s.out, "", says)
		d.Plan.Text(&s.out)
		fmt.Fprintln(&s.out)
	case "down":
		s.w.Down[h.Node] = true
	case "never-heard": // silent, and not heard by anybody since its own start
		s.w.Down[h.Node] = true
		s.w.NeverHeard = map[string]bool{h.Node: true}
	case "no-lease":
		s.w.NoLease = with(s.w.NoLease, h.Node)
	case "no-store":
		s.w.NoStore = with(s.w.NoStore, h.Node)
	case "just-started":
		h.Since = s.w.Now
	case "unread": // mounts, addresses, daemons, devices, hostname, volumes
		switch arg {
		case "mounts":
			h.Mounts = Unread[[]Mount](unread, noon)
		case "addresses":
			h.Addrs = Unread[[]Addr](unread, noon)
		case "links":
			h.Links = Unread[[]Link](unread, noon)
		case "daemons":
			h.Apps = Unread[[]AppState](unread, noon)
		case "devices":
			h.Devices = Unread[[]Device](unread, noon)
		case "hostname":
			h.Hostname = Unread[string](unread, noon)
		case "volumes":
			h.Volumes = Unread[[]VolumeState](unread, noon)
		case "reservations":
			h.Reservations = Unread[[]Reservation](unread, noon)
		}
	case "mount": // NODE mount SOURCE POINT
		h.Mounts.Value = append(slices.Clone(h.Mounts.Value), Mount{ID: 99, Point: args[1], Root: "/", Source: args[0], FSType: "ext4", Major: s.major(h, args[0]), Minor: s.minor(h, args[0])})
	case "read-only": // NODE read-only POINT
		h.Mounts.Value = slices.Clone(h.Mounts.Value)
		for i := range h.Mounts.Value {
			h.Mounts.Value[i].ReadOnly = h.Mounts.Value[i].ReadOnly || h.Mounts.Value[i].Point == arg
		}
	case "address": // NODE address LABEL [LINK]
		for _, g := range s.c.Groups {
			for _, a := range g.Addresses {
				if a.Label == args[0] {
					link := a.Network
					if len(args) > 1 {
						link = args[1]
					}
					h.address(a, link)
				}
			}
		}
	case "run": // NODE run GROUP APPLICATION
		for _, a := range s.c.Group(args[0]).Applications {
			if a.Name == args[1] {
				h.run(args[0], a)
			}
		}
	case "lose": // NODE lose KIND=OBJECT, as in what-if
		e, err := ParseWhatIf(s.c, arg)
		if err != nil {
			return err
		}
		lose(h, s.c.Group(e.Group), e)
	case "probe-bad": // NODE probe-bad GROUP APPLICATION
		st, _ := appState(args[0], args[1], h)
		st.Probe, st.ProbeErr = ProbeBad, "exit status 1"
		h.setApp(st)
	case "link-down":
		h.Links.Value = slices.Clone(h.Links.Value)
		for i := range h.Links.Value {
			h.Links.Value[i].Carrier = h.Links.Value[i].Carrier && h.Links.Value[i].Name != arg
		}
	case "device-gone":
		h.Devices.Value = slices.DeleteFunc(slices.Clone(h.Devices.Value), func(d Device) bool { return d.Path == arg })
	case "role": // NODE role GROUP ROLE
		return s.remember(h, args[0], func(m *Memory) error {
			for _, r := range fsm.Roles {
				if r.String() == args[1] {
					m.Role = r
					return nil
				}
			}
			return errors.New("no such role")
		})
	case "failed": // NODE failed GROUP WHY…
		return s.remember(h, args[0], func(m *Memory) error { m.Failed = strings.Join(args[1:], " "); return nil })
	case "lost": // NODE lost GROUP: it lost its lease in this epoch
		return s.remember(h, args[0], func(m *Memory) error { m.Lost = s.w.Store.Claims[args[0]].Epoch; return nil })
	case "saved-hostname": // NODE saved-hostname GROUP NAME
		return s.remember(h, args[0], func(m *Memory) error { m.SavedHostname = args[1]; return nil })
	case "retry": // NODE retry GROUP VERB WHY…
		return s.remember(h, args[0], func(m *Memory) error {
			m.Retry, m.ErrorVerb, m.Error = s.w.Now.Add(time.Second), args[1], strings.Join(args[2:], " ")
			return nil
		})
	case "stopping":
		h.Stopping = arg
	default:
		return s.moreOnHost(h, word, args)
	}
	return nil
}

func (s *scenario) remember(h *Snapshot, group string, f func(*Memory) error) error {
	m := h.Memory[group]
	err := f(&m)
	h.Memory[group] = m
	return err
}

func (s *scenario) host(name string) *Snapshot {
	for _, h := range s.w.Hosts {
		if h.Node == name {
			return h
		}
	}
	return nil
}

func (s *scenario) major(h *Snapshot, path string) uint32 {
	for _, d := range h.Devices.Value {
		if d.Path == path {
			return d.Major
		}
	}
	return 8
}

func (s *scenario) minor(h *Snapshot, path string) uint32 {
	for _, d := range h.Devices.Value {
		if d.Path == path {
			return d.Minor
		}
	}
	return 200
}

func (s *scenario) print(stages []Stage) {
	if len(stages) == 0 {
		fmt.Fprintln(&s.out, "nothing to do")
	}
	for _, st := range stages {
		st.Plan.Text(&s.out)
		fmt.Fprintln(&s.out)
	}
}
