//go:build linux

package lab

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// finish checks what must hold of a whole cluster: its writers end, the power of
// all nodes is cut at once, so that what is only in memory is gone, and every log
// is read where its group is served then.
func (s *stint) finish(ctx context.Context) error {
	if err := s.silence(ctx); err != nil {
		return err
	}
	if err := s.each(func(h string) error { return s.l.Crash(ctx, h) }); err != nil {
		return err
	}
	if err := s.each(func(h string) error { return s.l.Start(ctx, h) }); err != nil {
		return err
	}
	began := time.Now()
	patience := newPatience()
	var logs map[string]string
	for n := 1; ; n++ {
		lack := s.missing(began)
		if lack == "" {
			var err error
			if logs, err = s.readLogs(ctx); err == nil {
				break
			}
			lack = err.Error() // it has moved meanwhile
		}
		if err := pauseFor(ctx, 250*time.Millisecond); err != nil || patience.over() {
			return fmt.Errorf("%w: the service is not whole after the last power cut: %s", errBroken, lack)
		}
		if n%40 == 0 {
			s.mend(ctx, false)
			s.clearFailed(ctx)
		}
	}
	if err := s.safe(ctx); err != nil {
		return err
	}
	if err := s.checkLogs(logs); err != nil {
		return err
	}
	return s.checkEnds()
}

// readLogs reads every log where its group is served.
func (s *stint) readLogs(ctx context.Context) (map[string]string, error) {
	logs := make(map[string]string)
	for _, g := range s.groups {
		holder := s.holder(g.name)
		file, errs, code, err := s.l.Exec(ctx, holder, "cat", g.file())
		if err == nil && code != 0 {
			err = fmt.Errorf("exit %d: %s", code, errs)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the log of %s on %s: %w", g.name, holder, err)
		}
		logs[g.name] = file
	}
	return logs, nil
}

// checkLogs compares every log with what its writers were told.
func (s *stint) checkLogs(logs map[string]string) error {
	for _, g := range s.groups {
		writers, err := s.records(g.name, func(string) bool { return true })
		if err != nil {
			return err
		}
		h := checkLog(logs[g.name], writers)
		outages, err := s.outages(g.name)
		if err != nil {
			return err
		}
		s.sum.Sent += h.Sent
		s.sum.Answered += h.Answered
		s.sum.Lines += h.Lines
		s.sum.Torn += h.Torn
		s.r.outages = append(s.r.outages, outages...)
		s.r.tell("", "%s: %d lines sent, %d answered, %d in the log, %d torn, wrong %d; %d outages", g.name, h.Sent, h.Answered, h.Lines, h.Torn, h.Broken, len(outages))
		for _, w := range h.Wrong {
			s.r.broken = append(s.r.broken, g.name+": "+w)
		}
		if h.Broken > 0 {
			return fmt.Errorf("%w: the log of %s is wrong in %d places: %s", errBroken, g.name, h.Broken, h.Wrong[0])
		}
	}
	for _, g := range s.groups {
		s.count(g.name)
	}
	s.r.stints = append(s.r.stints, s.sum)
	return nil
}

// count adds up the claims of a group, by their evidence, and the takeovers: the
// claims of another node than the one before.
func (s *stint) count(group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := ""
	var top uint64
	for epoch := range s.claims[group] {
		top = max(top, epoch)
	}
	for epoch := uint64(1); epoch <= top; epoch++ {
		c, ok := s.claims[group][epoch]
		if !ok {
			s.r.claims["not seen"]++
			continue
		}
		s.r.claims[cmp.Or(c.Evidence, "not told")]++
		if last != "" && c.Holder != last {
			s.sum.Takeovers++
		}
		last = c.Holder
	}
}

// checkEnds looks for the words of a program that ended by its own mistake.
func (s *stint) checkEnds() error {
	logs, err := filepath.Glob(filepath.Join(s.l.Dir(), "*.log"))
	if err != nil {
		return err
	}
	for _, path := range logs {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "WARNING: DATA RACE") {
				s.r.broken = append(s.r.broken, filepath.Base(path)+": "+strings.TrimSpace(line))
				return fmt.Errorf("%w: %s: %s", errBroken, filepath.Base(path), strings.TrimSpace(line))
			}
		}
	}
	return nil
}

// tellWhy prints what a person needs to find out why a run failed, and keeps the
// logs, the records and the nodes' own state.
func (s *stint) tellWhy(ctx context.Context, why error) {
	ctx, cancel := within(ctx, time.Minute)
	defer cancel()
	around, span := time.Now(), 90*time.Second
	if all, err := s.l.Violations(ctx); err == nil && len(all) > 0 {
		around, span = all[0].At, 30*time.Second
	}
	s.r.say(why.Error())
	s.r.printf("\nWhat happened before:\n")
	for _, e := range s.timeline(ctx) {
		if e.At.After(around.Add(-span)) && e.At.Before(around.Add(10*time.Second)) {
			s.r.line(e)
		}
	}
	s.r.say("The nodes now: " + cmp.Or(s.missing(time.Time{}), "all is whole"))
	dir, err := s.keep()
	if err != nil {
		s.r.printf("cannot keep the logs: %v\n", err)
		return
	}
	s.r.printf("Seed %d, cluster %d. Logs, records and states of the hosts: %s\n", s.r.Seed, s.n+1, dir)
}

// timeline is what was done, what the power controller was asked, and what the
// nodes wrote down, in the order of the times.
func (s *stint) timeline(ctx context.Context) []Event {
	s.mu.Lock()
	all := slices.Clone(s.notes)
	s.mu.Unlock()
	if events, err := s.l.Events(ctx); err == nil {
		all = append(all, events...)
	}
	for _, n := range s.nodes {
		records, err := s.api.History(ctx, n, time.Now().Add(-5*time.Minute))
		if err != nil {
			continue // the logs that are kept tell
		}
		why := ""
		for _, r := range records {
			text := told(r, why)
			why = r.Why
			if r.Group != "" {
				text = r.Group + ": " + text
			}
			all = append(all, Event{At: r.At, Host: n, What: text})
		}
	}
	slices.SortStableFunc(all, func(a, b Event) int { return a.At.Compare(b.At) })
	return all
}

// say prints a text of many lines.
func (r *chaosRun) say(text string) {
	r.printf("\n")
	for _, line := range wrap(text, width) {
		r.printf("%s\n", line)
	}
}

// line prints an event of the timeline.
func (r *chaosRun) line(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	head := fmt.Sprintf("%8.1f s  %-*s", e.At.Sub(r.began).Seconds(), margin-12, e.Host)
	for _, line := range wrap(e.What, width-margin) {
		fmt.Fprintf(r.out, "%s%s\n", head, line)
		head = strings.Repeat(" ", margin)
	}
}

// keep copies what is small out of the lab's folder, which goes with the lab.
func (s *stint) keep() (string, error) {
	dir := s.r.Keep
	var err error
	if dir == "" {
		dir, err = os.MkdirTemp("/var/tmp", fmt.Sprintf("understudy-chaos-%d-", s.r.Seed))
	} else {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", err
	}
	return dir, filepath.WalkDir(s.l.Dir(), func(path string, e os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) == ".img" {
			return nil // a host goes on changing its own state
		}
		to := filepath.Join(dir, strings.TrimPrefix(path, s.l.Dir()))
		if e.IsDir() {
			if e.Name() == "etcd" || e.Name() == "member" {
				return filepath.SkipDir // large, and of no use without its program
			}
			return os.MkdirAll(to, 0o700)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		return os.WriteFile(to, b, 0o600)
	})
}
