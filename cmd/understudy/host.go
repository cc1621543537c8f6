package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/observers"
	"understudy/observers/lvm"
	"understudy/observers/site"
	"understudy/reconcile"
	"understudy/reconcile/prepare"
)

// facts looks at what `prepare` and `check --host` ask about: this host, the files
// that lie in root, and what the resident service says, if one answers.
func (c *common) facts(ctx context.Context, cfg *config.Config, node, root, cell string) (prepare.Facts, error) {
	seen, err := observers.New(cfg, node, c.stateDir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return prepare.Facts{}, err
	}
	stateDir, err := filepath.Abs(c.stateDir)
	if err != nil {
		return prepare.Facts{}, fmt.Errorf("cannot tell where %s is: %w", c.stateDir, err)
	}
	f := site.Look(ctx, cfg, node, stateDir, root, seen.Look(ctx))
	if root == "" || root == "/" {
		f.LVM = auditLVM(ctx, cfg)
		f.Disks = auditDisks(ctx, cfg)
		st, err := c.client().Status(ctx)
		if err != nil && !errors.Is(err, api.ErrNoService) {
			return f, err
		}
		if err == nil && st.Node == node {
			f.Resident = residentFacts(st)
		}
	}
	return f, f.LearnCell(cfg, cell)
}

// auditLimit bounds the asking of LVM, which waits for a disk that hangs.
const auditLimit = 20 * time.Second

// auditLVM asks LVM about the volume groups of the file.
func auditLVM(ctx context.Context, cfg *config.Config) []prepare.VolumeFinding {
	ctx, cancel := context.WithTimeout(ctx, auditLimit)
	defer cancel()
	out := []prepare.VolumeFinding{}
	states := map[lvm.Level]prepare.State{lvm.Fails: prepare.Blocked, lvm.Unsafe: prepare.ByHand, lvm.Unknown: prepare.Unknown}
	for _, f := range lvm.Audit(ctx, cfg, lvm.Exec()) {
		out = append(out, prepare.VolumeFinding{Rule: strings.TrimPrefix(f.Rule, "lvm-"), State: states[f.Level], Volume: f.Volume, Text: f.Text, Way: f.Way})
	}
	return out
}

// residentFacts are what the resident service knows of the groups and the others.
func residentFacts(st api.Status) prepare.Resident {
	r := prepare.Resident{Answers: true, Groups: map[string]prepare.GroupFact{}}
	for _, g := range st.Groups {
		f := prepare.GroupFact{Clean: true, Rehearsed: g.Rehearsed}
		if !g.Claim.Released {
			f.Holder = g.Claim.Holder
		}
		for _, res := range g.Resources {
			f.Clean = f.Clean && res.State == reconcile.Absent.String()
		}
		r.Groups[g.Group] = f
	}
	for _, p := range st.Peers {
		f := prepare.PeerFact{Name: p.Name, Heard: p.State == reconcile.PeerHeard.String(), ConfigHash: p.Config, Cell: p.Cell, Programs: map[string]string{}}
		if p.ClockMS != nil && p.Name != witnessName {
			f.Clock, f.ClockKnown = time.Duration(*p.ClockMS)*time.Millisecond, true
		}
		for _, g := range p.Groups {
			f.Programs[g.Group] = g.Programs
		}
		r.Peers = append(r.Peers, f)
	}
	return r
}

// ownFactsEvery is how often a node looks at what it tells the others of its programs
// and its cell.
const ownFactsEvery = time.Minute

// ownFacts is what a node says of itself beside what its loop decides.
type ownFacts struct {
	cell     string
	programs map[string]string // by group
}

// keepOwnFacts looks at programs and cell now and at every interval, until ctx ends.
func keepOwnFacts(ctx context.Context, inForce func() *config.Config, node, stateDir string, seen func(context.Context) reconcile.Snapshot, put func(*ownFacts)) {
	tick := time.NewTicker(ownFactsEvery)
	defer tick.Stop()
	var cache site.Cache
	for {
		cfg := inForce()
		f := prepare.Facts{Node: node, Snapshot: seen(ctx), Paths: site.Paths(ctx, "/", prepare.Asks(cfg, node, stateDir), &cache)}
		own := &ownFacts{programs: map[string]string{}}
		if err := f.LearnCell(cfg, ""); err == nil {
			own.cell = f.Cell
		}
		for i := range cfg.Groups {
			if g := &cfg.Groups[i]; g.Priority(node) >= 0 {
				own.programs[g.Name] = prepare.Digest(cfg, g, f.Paths)
			}
		}
		put(own)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tell adds it to a status. A program that other nodes must have alike and that could
// not be read says nothing.
func (o *ownFacts) tell(s *reconcile.NodeStatus) {
	if o == nil {
		return
	}
	s.Cell = o.cell
	for i := range s.Groups {
		s.Groups[i].Programs = o.programs[s.Groups[i].Group]
	}
}

// hostFinding is one thing that `check --host` has to say.
type hostFinding struct {
	Rule     string          `json:"rule"` // row of the guide's checklist
	Severity config.Severity `json:"severity"`
	Name     string          `json:"name"`
	Group    string          `json:"group,omitempty"`
	Message  string          `json:"message"`
	WayOut   string          `json:"way_out,omitempty"`
}

// String is the finding on one line.
func (f hostFinding) String() string {
	s := fmt.Sprintf("%s: %s: %s [%s]", f.Severity, f.Name, f.Message, f.Rule)
	if f.WayOut != "" {
		s += " — " + f.WayOut
	}
	return s
}

// checkHost looks at this host: every finding that matters before the node is armed.
// What must be mended is an error, all else a warning.
func (c *common) checkHost(ctx context.Context, cfg *config.Config) ([]hostFinding, error) {
	node, err := c.self(cfg)
	if err != nil {
		return nil, err
	}
	f, err := c.facts(ctx, cfg, node, "", "")
	if err != nil {
		return nil, err
	}
	out := []hostFinding{}
	for _, it := range prepare.Items(cfg, &f) {
		if !it.Matters() {
			continue
		}
		h := hostFinding{Rule: it.Rows[0], Severity: config.Warning, Name: it.Name, Group: it.Group, Message: it.Seen + ", wanted: " + it.Want, WayOut: it.Way}
		switch it.State {
		case prepare.Blocked:
			h.Severity = config.Error
		case prepare.ToDo:
			h.WayOut = "understudy prepare --apply"
		}
		out = append(out, h)
	}
	return out, nil
}

// hostVerdict counts the findings and ends blocked if one must be mended.
func (c *common) hostVerdict(seen []hostFinding) error {
	errs := 0
	for _, f := range seen {
		if f.Severity == config.Error {
			errs++
		}
	}
	if !c.json {
		switch {
		case len(seen) == 0:
			fmt.Fprintln(c.out, "this host: fine")
		default:
			fmt.Fprintf(c.out, "this host: %d %s, %d %s\n", errs, plural(errs, "error"), len(seen)-errs, plural(len(seen)-errs, "warning"))
		}
	}
	if errs > 0 {
		return &exitError{code: exitBlocked}
	}
	return nil
}
