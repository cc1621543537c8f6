//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// chaosWriter is one writer that was started, with the life of its host.
type chaosWriter struct {
	id, host, group, name string
}

// keepWriting has two writers for each group on the client's host and one on each
// node: also one on the side of an owner that is cut off. A node that boots gets
// new ones.
func (s *stint) keepWriting(ctx context.Context) {
	for ctx.Err() == nil {
		hosts, err := s.l.Hosts(ctx)
		for _, h := range hosts {
			if err != nil || !h.On || h.Frozen || h.Name == Witness {
				continue
			}
			for _, g := range s.groups {
				n := 1
				if h.Name == Client {
					n = 2
				}
				for i := range n {
					s.write(ctx, h, g, i)
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// write starts a writer, unless it was started in this boot of its host.
func (s *stint) write(ctx context.Context, h HostState, g chaosGroup, i int) {
	life := fmt.Sprintf("%s %s %d", h.BootID, g.name, i)
	s.mu.Lock()
	if s.running[life] > 0 {
		s.mu.Unlock()
		return
	}
	s.nextID++
	w := chaosWriter{id: fmt.Sprintf("%s%d", h.Name, s.nextID), host: h.Name, group: g.name, name: fmt.Sprintf("writer-%s-%d", g.name, i)}
	s.running[life] = s.nextID
	s.mu.Unlock()
	ctx, cancel := within(ctx, 5*time.Second)
	defer cancel()
	err := s.l.Spawn(ctx, h.Name, w.name, binaryInside, "lab-writer", "--to", g.target(), "--id", w.id, "--record", socketsInside+"/"+recordOf(w.id))
	s.mu.Lock()
	defer s.mu.Unlock()
	// It may run although nobody said so: its record tells.
	s.writers = append(s.writers, w)
	if err != nil {
		delete(s.running, life)
	}
}

func recordOf(id string) string { return "writer-" + id }

// silence ends every writer, so that their records are complete.
func (s *stint) silence(ctx context.Context) error {
	s.hush()
	s.writing.Wait()
	s.mu.Lock()
	writers := slices.Clone(s.writers)
	s.mu.Unlock()
	var errs []error
	for _, w := range writers {
		running, err := s.l.Running(ctx, w.host, w.name)
		if err == nil && running {
			err = s.l.Signal(ctx, w.host, w.name, syscall.SIGKILL)
			if _, e := s.l.WaitEnd(ctx, w.host, w.name); err == nil {
				err = e
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// records are what the writers of a group sent and were answered.
func (s *stint) records(group string, on func(host string) bool) ([][]sent, error) {
	s.mu.Lock()
	writers := slices.Clone(s.writers)
	s.mu.Unlock()
	var all [][]sent
	for _, w := range writers {
		if w.group != group || !on(w.host) {
			continue
		}
		f, err := os.Open(filepath.Join(s.l.run, w.host, "lab", recordOf(w.id)))
		if errors.Is(err, os.ErrNotExist) {
			continue // it never ran
		}
		if err != nil {
			return nil, err
		}
		one, err := readWrites(w.id, f)
		f.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// outages are the times in which nobody on the client's host was answered by a
// group, of the time of the faults.
func (s *stint) outages(group string) ([]time.Duration, error) {
	writers, err := s.records(group, func(h string) bool { return h == Client })
	if err != nil {
		return nil, err
	}
	var times []int64
	for _, w := range writers {
		for _, one := range w {
			if one.answered >= s.began && one.answered <= s.ended {
				times = append(times, one.answered)
			}
		}
	}
	slices.Sort(times)
	var all []time.Duration
	last := s.began
	for _, t := range append(times, s.ended) {
		if d := time.Duration(t - last); d >= outageFrom {
			all = append(all, d)
		}
		last = t
	}
	return all, nil
}

// outageFrom is what counts as an outage: less than that is the machine's own noise.
const outageFrom = 250 * time.Millisecond
