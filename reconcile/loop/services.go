package loop

import (
	"context"
	"errors"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// serviceWindow is how long a start of a service counts against its next one.
const serviceWindow = 10 * time.Minute

// services keeps the services of this node up, whatever the groups do. It returns
// how long the next pass may wait, zero if that is for others to say. A service is
// never given up: each start within [serviceWindow] makes the next one wait longer.
func (l *Loop) services(ctx context.Context, s *reconcile.Snapshot, d reconcile.Services) time.Duration {
	next := time.Duration(0)
	if l.flights[reconcile.NodeGroup] == nil && !d.Plan.Empty() {
		for _, p := range d.Plan.Steps {
			if st, ok := p.Step.(reconcile.Start); ok {
				l.startedService(st.App.Name, s.At)
			}
		}
		l.begin(ctx, d.Plan, false)
	}
	for _, i := range d.Items {
		key := reconcile.ServiceKey(i.Name)
		m := l.memory[key]
		if i.State == reconcile.Present && m.Error != "" {
			m.Error = ""
			l.memory[key] = m
			l.append(journal.Record{Kind: journal.Note, Group: reconcile.NodeGroup, Why: i.Name + " is up"})
		}
		if wait := m.Retry.Sub(s.At); i.State != reconcile.Present && wait > 0 && (next == 0 || wait < next) {
			next = wait
		}
	}
	if d.Plan.Why != l.servicesWhy {
		l.servicesWhy = d.Plan.Why
		l.append(journal.Record{Kind: journal.Seen, Group: reconcile.NodeGroup, Event: "services", Why: d.Plan.Why})
	}
	return next
}

// startedService counts a start, and says when the next may come.
func (l *Loop) startedService(name string, now time.Time) {
	key := reconcile.ServiceKey(name)
	m := l.memory[key]
	m.Restarts = append(recent(m.Restarts, now, serviceWindow), now)
	wait := time.Duration(0)
	for range len(m.Restarts) - 1 { // the first one is a start and no restart
		wait = min(max(2*wait, firstBackoff), lastBackoff)
	}
	m.Retry = now.Add(wait)
	if wait == lastBackoff {
		m.Restarts = m.Restarts[1:] // more of them say nothing more
	}
	l.memory[key] = m
}

// servicesLanded takes the end of a plan of the services into what is remembered.
func (l *Loop) servicesLanded(o outcome) {
	if o.err == nil || errors.Is(o.err, ErrStopping) {
		return
	}
	app := ""
	switch st := o.step.(type) {
	case reconcile.Start:
		app = st.App.Name
	case reconcile.Stop:
		app = st.App.Name
	case reconcile.Verify:
		app = st.App.Name
	}
	key := reconcile.ServiceKey(app)
	m := l.memory[key]
	m.Error = o.err.Error()
	if wait := time.Now().Add(firstBackoff); m.Retry.Before(wait) {
		m.Retry = wait
	}
	l.memory[key] = m
}
