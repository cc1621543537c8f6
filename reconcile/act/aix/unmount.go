package aix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"understudy/reconcile"
)

// User is a process that holds a file system.
type User struct {
	reconcile.Process
	Name string
}

// Unmount detaches a file system: plainly first, and if processes hold it, after
// SIGTERM and at half time SIGKILL to those that fuser names. It is never forced.
func (h *Host) Unmount(ctx context.Context, device, point string) error {
	fail := func(err error) error { return fmt.Errorf("cannot unmount %s: %w", point, err) }
	if !clean(point) {
		return fail(errors.New("it is not an absolute, clean path below /"))
	}
	began := time.Now()
	until, ok := ctx.Deadline()
	if !ok {
		until = began.Add(20 * time.Second)
	}
	half := began.Add(time.Until(until) / 2)
	sent := map[reconcile.Process]syscall.Signal{}
	var last error // what umount said
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		here, err := h.ours(ctx, device, point)
		if err != nil {
			return fail(err)
		}
		if !here {
			if last != nil || len(sent) > 0 {
				h.Log.InfoContext(ctx, "unmounted", "mount", point, "device", device, "took", time.Since(began))
			}
			return nil
		}
		if last = h.run(ctx, "umount", point); last == nil {
			last = errors.New("umount said yes, but the mount table still shows it")
			continue
		}
		if !failed(last) {
			return fail(last)
		}
		users, err := h.Users(ctx, point)
		if err != nil {
			return fail(errors.Join(last, err))
		}
		if err := h.signalUsers(ctx, point, users, sent, time.Now().After(half)); err != nil {
			return fail(err)
		}
		if time.Until(until) < wait || !pause(ctx, wait) {
			if len(users) == 0 {
				return fail(fmt.Errorf("%w; fuser names nobody — look for exports and for what only the kernel holds", last))
			}
			return fail(fmt.Errorf("%w; held by %s after SIGTERM and SIGKILL", last, names(users)))
		}
	}
}

// ours reports whether the device is mounted at the point. Something else there is
// an error, and so is a mount below it.
func (h *Host) ours(ctx context.Context, device, point string) (bool, error) {
	table, err := h.See.Mounts(ctx)
	if err != nil {
		return false, err
	}
	top, ok := topAt(table, point)
	if !ok {
		return false, nil
	}
	ours, err := h.carries(top, device)
	if err != nil {
		return false, err
	}
	if !ours {
		return false, fmt.Errorf("%s (%s) is mounted there, not %s; it is not the group's and is left alone", top.Source, top.FSType, device)
	}
	for _, m := range table {
		if m.Point != point && below(m.Point, point) {
			return false, fmt.Errorf("%s (%s) is mounted below it — umount %s first", m.Point, m.Source, m.Point)
		}
	}
	return true, nil
}

// Users lists the processes that hold a mount, with their start. One that has ended
// since fuser looked is left out.
func (h *Host) Users(ctx context.Context, point string) ([]User, error) {
	pids, err := h.See.Users(ctx, point)
	if err != nil {
		return nil, err
	}
	var out []User
	for _, pid := range pids {
		p, err := h.See.Process(pid)
		if errors.Is(err, fs.ErrNotExist) || err == nil && p.Zombie {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, User{reconcile.Process{PID: pid, Start: StartOf(p)}, p.Name})
	}
	return out, nil
}

// signalUsers sends SIGTERM once to each user, and SIGKILL once when it is time.
// If one of them must not be signalled, nobody is.
func (h *Host) signalUsers(ctx context.Context, point string, users []User, sent map[reconcile.Process]syscall.Signal, kill bool) error {
	spared := h.Spared()
	for _, u := range users {
		if spared[u.PID] {
			return fmt.Errorf("held by %s %d, and that is this program, its parent or process 1 — leave the directory, restart it elsewhere", u.Name, u.PID)
		}
	}
	sig := syscall.SIGTERM
	if kill {
		sig = syscall.SIGKILL
	}
	for _, u := range users {
		if last, ok := sent[u.Process]; ok && (last == sig || last == syscall.SIGKILL) {
			continue
		}
		sent[u.Process] = sig
		if err := h.Signal(u.Process, sig); err != nil {
			return err
		}
		h.Log.WarnContext(ctx, "signalled a process that keeps a mount busy", "mount", point, "pid", u.PID, "command", u.Name, "signal", sig.String())
	}
	return nil
}

func names(users []User) string {
	const most = 8
	var words []string
	for i, u := range users {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(users)-most))
			break
		}
		words = append(words, fmt.Sprintf("%s %d", u.Name, u.PID))
	}
	return strings.Join(words, ", ")
}
