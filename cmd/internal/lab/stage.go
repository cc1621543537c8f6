//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"understudy/cmd/internal/api"
	"understudy/reconcile/journal"
)

// Roles is what the demonstration asks the nodes. [Lab.Roles] is the answer of
// the resident services.
type Roles interface {
	// Group is the group's standing as a host sees it.
	Group(ctx context.Context, host string) (Standing, error)
	// Move asks for the group on a node and returns when the wish is recorded.
	Move(ctx context.Context, to string) error
	// History is what a host's record holds since a time.
	History(ctx context.Context, host string, since time.Time) ([]journal.Record, error)
}

// Standing is a group on one host.
type Standing struct {
	Role, Phase string
	Step        string // of the plan that runs, "" if none does
	Reason      string
	Ready       bool
	Holder      string // of the claim, "" when it is released
	Evidence    string
}

// line is a standing in a few words.
func (s Standing) line() string {
	switch {
	case s.Step != "":
		return fmt.Sprintf("%-10s %s", s.Role, s.Step)
	case s.Ready:
		return fmt.Sprintf("%-10s ready", s.Role)
	case s.Phase == "idle" || s.Phase == "serving" || s.Reason == "":
		return fmt.Sprintf("%-10s %s", s.Role, s.Phase)
	}
	return fmt.Sprintf("%-10s %s: %s", s.Role, s.Phase, s.Reason)
}

// Roles asks the resident services of the hosts through their own sockets.
func (l *Lab) Roles() Roles { return &services{l: l} }

type services struct {
	l  *Lab
	mu sync.Mutex
	at map[string]int // pid of a host's process 1, as last seen
}

// client reaches a host's resident service from outside, through the root of its
// process 1: cheaper than a program started in the host, which would disturb
// what is measured.
func (s *services) client(ctx context.Context, host string, fresh bool) (*api.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil || fresh {
		hosts, err := s.l.Hosts(ctx)
		if err != nil {
			return nil, err
		}
		s.at = make(map[string]int)
		for _, h := range hosts {
			s.at[h.Name] = h.PID
		}
	}
	if s.at[host] == 0 {
		return nil, fmt.Errorf("cannot ask %s: it is off", host)
	}
	return api.NewClient(fmt.Sprintf("/proc/%d/root/run/understudy/understudy.sock", s.at[host])), nil
}

func (s *services) Group(ctx context.Context, host string) (Standing, error) {
	ctx, cancel := within(ctx, time.Second)
	defer cancel()
	var st api.Status
	var err error
	for _, fresh := range []bool{false, true} { // another boot has another process 1
		var c *api.Client
		if c, err = s.client(ctx, host, fresh); err == nil {
			if st, err = c.Status(ctx); err == nil {
				break
			}
		}
	}
	if err != nil {
		return Standing{}, err
	}
	for _, g := range st.Groups {
		if g.Group == Group {
			return standing(g), nil
		}
	}
	return Standing{}, fmt.Errorf("cannot see group %s on %s yet", Group, host)
}

func standing(g api.GroupStatus) Standing {
	s := Standing{Role: g.Role, Phase: g.Phase, Reason: g.Reason, Ready: g.Ready, Evidence: g.Claim.Evidence}
	if !g.Claim.Released {
		s.Holder = g.Claim.Holder
	}
	if f := g.Flight; f != nil {
		s.Step = fmt.Sprintf("%d/%d %s", f.N, f.Of, f.Step)
	}
	return s
}

func (s *services) Move(ctx context.Context, to string) error {
	c, err := s.client(ctx, to, true)
	if err != nil {
		return err
	}
	return c.Move(ctx, api.MoveRequest{Group: Group, To: to, By: "lab", Reason: "demonstration"})
}

// stage is a lab with its services up, a client asking, and somebody who looks
// at the roles all the time.
type stage struct {
	*Lab
	roles Roles
	nodes []string
	ask   *Asker

	lost   string        // the adapter that [stage.loseAdapter] struck
	local  *Asker        // on the owner's host, of [splitCase]
	parts  int           // splits so far
	cutAt  time.Duration // CLOCK_MONOTONIC
	also   []int64       // acknowledged to clients other than ask
	cutOff int           // of them, by an owner that was cut off already

	mu   sync.Mutex
	seen map[string]Standing
	said map[string]string
}

// set brings up a lab with its services.
func set(ctx context.Context, o Options) (*stage, error) {
	o.Services, o.LifeLine = true, true
	l, err := Up(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &stage{Lab: l, roles: l.Roles(), seen: make(map[string]Standing), said: make(map[string]string)}
	for _, h := range l.rec.Charge.Hosts {
		if h.Disks {
			s.nodes = append(s.nodes, h.Name)
		}
	}
	return s, nil
}

// look asks every node once.
func (s *stage) look(ctx context.Context) {
	var wg sync.WaitGroup
	for _, host := range s.nodes {
		wg.Go(func() {
			st, err := s.roles.Group(ctx, host)
			line := st.line()
			if err != nil {
				st, line = Standing{}, "(no answer)"
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.seen[host], s.said[host] = st, line
		})
	}
	wg.Wait()
}

// until looks until cond holds of what was seen last.
func (s *stage) until(ctx context.Context, what string, cond func(map[string]Standing) bool) error {
	ctx, cancel := within(ctx, 90*time.Second)
	defer cancel()
	for {
		s.look(ctx)
		s.mu.Lock()
		ok := cond(s.seen)
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot see %s: %w; last: %s", what, context.Cause(ctx), s.last())
		case <-time.After(15 * time.Millisecond):
		}
	}
}

// standing is what was seen of a node last.
func (s *stage) standing(host string) Standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[host]
}

func (s *stage) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, n := range s.nodes {
		all = append(all, n+" "+s.said[n])
	}
	return strings.Join(all, ", ")
}

// serving waits until a node serves; any node if host is "".
func (s *stage) serving(ctx context.Context, host string) (string, error) {
	found := ""
	what := "the group served"
	if host != "" {
		what += " by " + host
	}
	err := s.until(ctx, what, func(m map[string]Standing) bool {
		for n, st := range m {
			if st.Phase == "serving" && st.Step == "" && st.Holder == n && (host == "" || n == host) {
				found = n
				return true
			}
		}
		return false
	})
	return found, err
}

// ready waits until a node would take the group.
func (s *stage) ready(ctx context.Context, host string) error {
	return s.until(ctx, host+" ready", func(m map[string]Standing) bool { return m[host].Ready })
}

func (s *stage) other(host string) string {
	for _, n := range s.nodes {
		if n != host {
			return n
		}
	}
	return host
}

// end checks what must hold of a whole run that went well so far, tells the end
// of the nodes' logs of one that did not, and takes the lab away.
func (s *stage) end(ctx context.Context, failed error) (v Verdict, violations []Violation, err error) {
	err = failed
	if err == nil && s.ask != nil {
		v, violations, err = s.verify(ctx)
	}
	if err != nil && ctx.Err() == nil {
		for _, n := range s.nodes {
			if text, e := s.Log(n); e == nil {
				err = fmt.Errorf("%w\nlog of %s: …%s", err, n, text[max(0, len(text)-2000):])
			}
		}
	}
	limit, cancel := within(context.WithoutCancel(ctx), downLimit)
	defer cancel()
	return v, violations, errors.Join(err, s.Down(limit))
}

func (s *stage) verify(ctx context.Context) (Verdict, []Violation, error) {
	host, err := s.serving(ctx, "")
	if err != nil {
		return Verdict{}, nil, err
	}
	acked, err := s.ask.Acked(ctx)
	if err != nil {
		return Verdict{}, nil, err
	}
	v, err := s.Verify(ctx, host, append(acked, s.also...))
	if err != nil {
		return v, nil, err
	}
	violations, err := s.Violations(ctx)
	return v, violations, err
}

func short(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
