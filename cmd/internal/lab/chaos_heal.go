//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"understudy/cmd/internal/api"
)

// wholeLimit bounds the time until every group is served after everything was
// healed. The program's own bounds are far below (three minutes is the longest of
// them, and no group here needs it). Time in which the machine has far more to do
// than it can does not count: what waits for a processor is no fault of the service.
const wholeLimit = 5 * time.Minute

// patience is wholeLimit under way.
type patience struct {
	last time.Time
	left time.Duration
}

func newPatience() *patience { return &patience{last: time.Now(), left: wholeLimit} }

// over reports whether the time is used up.
func (p *patience) over() bool {
	now := time.Now()
	if load() < float64(4*runtime.NumCPU()) {
		p.left -= now.Sub(p.last)
	}
	p.last = now
	return p.left <= 0
}

// heal mends all that the lab can have broken, whoever broke it: switch, cables,
// power controller, storage, power, services. What cannot be mended yet is tried
// again in [stint.whole].
func (s *stint) heal(ctx context.Context) {
	s.mu.Lock()
	s.calm = true
	clear(s.filters)
	s.mu.Unlock()
	if err := s.mend(ctx, true); err != nil {
		s.note("", "not healed yet: %v", err)
	}
}

// mend is what the people in the machine room do: everything that is off is
// switched on, what is stopped goes on, what has ended is started.
func (s *stint) mend(ctx context.Context, all bool) error {
	ctx, cancel := within(ctx, 2*time.Minute)
	defer cancel()
	var errs []error
	if all {
		errs = append(errs, s.l.Filters(ctx))
	}
	hosts, err := s.l.Hosts(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, h := range hosts {
		if h.Name == Client {
			continue
		}
		if all {
			errs = append(errs, s.l.Heal(ctx, h.Name), s.l.LinkUp(ctx, h.Name), s.l.SetPower(ctx, h.Name, PowerOK), s.l.Unhang(ctx, h.Name))
		}
		if h.On && h.Frozen {
			errs = append(errs, s.l.Thaw(ctx, h.Name))
		}
		if !h.On {
			errs = append(errs, s.l.Start(ctx, h.Name))
			s.l.Exec(ctx, h.Name, "rm", "-f", filler) // if it is there
			continue                                  // its service starts with it
		}
		if all {
			s.l.SignalService(ctx, h.Name, syscall.SIGCONT) // if it runs
			for _, g := range s.groups {
				dev := fmt.Sprintf("/dev/shared%d", g.disk)
				s.l.Exec(ctx, h.Name, "mv", "-n", dev+".gone", dev) // if it is gone
			}
			s.l.Exec(ctx, h.Name, "rm", "-f", filler) // if it is there
		}
		running, err := s.l.Running(ctx, h.Name, serviceName)
		if err == nil && !running {
			if !all {
				s.ended1(ctx, h.Name)
			}
			err = s.l.StartService(ctx, h.Name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ended1 notes a service that ended although nobody did anything to it. systemd
// would start it again; so does the lab.
func (s *stint) ended1(ctx context.Context, host string) {
	e, err := s.l.WaitEnd(ctx, host, serviceName)
	s.note(host, "its service has ended: exit %d, %v (%v)", e.Code, e.Signal, err)
	s.r.mu.Lock()
	s.r.again++
	s.r.mu.Unlock()
}

// whole waits until every group is served by one node and answers a client, every
// other node would take it, and no order is left. An operator clears what a node
// has failed and will not try again by itself.
func (s *stint) whole(ctx context.Context, when string) error {
	began, mark, patience := time.Now(), monotonic(), newPatience()
	last := "nothing seen"
	for n := 1; ; n++ {
		s.endOrders(ctx)
		if last = s.missing(began); last == "" {
			if last = s.unanswered(mark); last == "" {
				s.r.tell("", "whole %s, after %.1f s", when, time.Since(began).Seconds())
				return nil
			}
		}
		if n%8 == 0 {
			if err := s.mend(ctx, false); err != nil && ctx.Err() == nil {
				s.note("", "not healed yet: %v", err)
			}
		}
		if n%30 == 0 {
			s.clearFailed(ctx)
		}
		if n%60 == 0 {
			s.r.tell("", "waiting: %s", last)
		}
		if err := pauseFor(ctx, 500*time.Millisecond); err != nil || patience.over() {
			return fmt.Errorf("%w: the service is not whole %s, %s after everything was healed: %s",
				errBroken, when, time.Since(began).Round(time.Second), last)
		}
	}
}

// missing says what the nodes lack to be whole, by their answers since then, ""
// for nothing.
func (s *stint) missing(since time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	lack := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	serving := make(map[string]int)
	for _, n := range s.nodes {
		seen := s.seen[n]
		if !seen.at.After(since) {
			lack("%s does not answer", n)
			continue
		}
		if len(seen.st.Orders) > 0 {
			lack("%s is under order %s of %s", n, seen.st.Orders[0].Order, seen.st.Orders[0].Object)
		}
		if seen.st.Stopping != "" {
			lack("%s stops", n)
		}
		for _, g := range seen.st.Groups {
			switch {
			case g.Flight != nil:
				lack("%s on %s: step %d of %d, %s", g.Group, n, g.Flight.N, g.Flight.Of, g.Flight.Step)
			case g.Phase == "serving" && g.Claim.Holder == n && !g.Claim.Released:
				serving[g.Group]++
			case !g.Ready:
				lack("%s on %s: %s, %s: %s", g.Group, n, g.Role, g.Phase, strings.TrimSpace(strings.Join([]string{g.Reason, g.Failed, g.Error, strings.Join(g.Blocked, "; ")}, " ")))
			}
		}
	}
	for _, g := range s.groups {
		if serving[g.name] != 1 {
			lack("%s is served by %d nodes", g.name, serving[g.name])
		}
	}
	return strings.Join(all, "; ")
}

// unanswered says which group has not answered the clients since a mark.
func (s *stint) unanswered(mark int64) string {
	for _, g := range s.groups {
		writers, err := s.records(g.name, func(h string) bool { return h == Client })
		if err != nil {
			return err.Error()
		}
		if !slices.ContainsFunc(writers, func(w []sent) bool {
			return slices.ContainsFunc(w[max(0, len(w)-50):], func(one sent) bool { return one.answered > mark })
		}) {
			return g.name + " answers no client"
		}
	}
	return ""
}

// endOrders takes back what an operator has ordered and could not take back.
func (s *stint) endOrders(ctx context.Context) {
	s.mu.Lock()
	orders := make(map[api.OrderStatus]string)
	for _, n := range s.nodes {
		for _, o := range s.seen[n].st.Orders {
			if o.Order == "freeze" || o.Order == "drain" {
				orders[api.OrderStatus{Order: o.Order, Object: o.Object}] = n
			}
		}
	}
	s.mu.Unlock()
	for o, n := range orders {
		limit, cancel := within(ctx, 5*time.Second)
		if c, err := s.client(limit, n); err == nil {
			c.Order(limit, api.OrderRequest{Order: o.Order, Object: o.Object, End: true, By: "chaos"}) // tried again
		}
		cancel()
	}
}

// clearFailed is the operator's answer to a node that has failed a group.
func (s *stint) clearFailed(ctx context.Context) {
	failed := make(map[string]string)
	s.mu.Lock()
	for _, n := range s.nodes {
		for _, g := range s.seen[n].st.Groups {
			if g.Failed != "" {
				failed[g.Group] = n
				s.r.tell(n, "%s: %s", g.Group, g.Failed)
			}
		}
	}
	s.mu.Unlock()
	for g, n := range failed {
		limit, cancel := within(ctx, 10*time.Second)
		if c, err := s.client(limit, n); err == nil && c.Clear(limit, g) == nil {
			s.note(n, "an operator clears %s", g)
			s.r.mu.Lock()
			s.r.cleared++
			s.r.mu.Unlock()
		}
		cancel()
	}
}
