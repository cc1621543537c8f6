package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"understudy/reconcile"
)

// stackLimit bounds how many mounts of one device on top of each other are taken
// off in one step.
const stackLimit = 16

// unmount detaches a file system, never lazily and never by force. See
// [reconcile.Unmount].
func (h *Host) unmount(ctx context.Context, s reconcile.Unmount) error {
	point := s.Point
	if point == "" {
		point = s.FS.Mount
	}
	for range stackLimit {
		m, err := ourMount(s, point)
		if err != nil {
			return fmt.Errorf("cannot unmount %s: %w", point, err)
		}
		if m == nil {
			return nil
		}
		if err := h.unmountOne(ctx, m); err != nil {
			return err
		}
		h.log.InfoContext(ctx, "unmounted", "mount", point, "device", s.FS.Device)
	}
	return fmt.Errorf("cannot unmount %s: something mounts it again and again — look for an automounter or a systemd mount unit", point)
}

// ourMount is the mount at the point if it is of the declared device, nil if
// nothing is mounted there.
func ourMount(s reconcile.Unmount, point string) (*mountinfo.Info, error) {
	table, err := mountTable()
	if err != nil {
		return nil, err
	}
	top := topAt(table, point)
	if top == nil || top.Source == s.FS.Device {
		return top, nil
	}
	dev, err := blockDevice(s.FS.Device)
	if err != nil {
		return nil, fmt.Errorf("%s is mounted there, and whether that is %s cannot be told: %w", top.Source, s.FS.Device, err)
	}
	if !carries(top, dev) {
		return nil, fmt.Errorf("%s (%s) is mounted there, not %s; it is not the group's and is left alone", top.Source, top.FSType, s.FS.Device)
	}
	return top, nil
}

// unmountOne takes one mount off: plainly first; if processes hold it, after
// SIGTERM and at half time SIGKILL to those that truly are on this mount. Every
// other holder is an error, and then nobody is signalled.
func (h *Host) unmountOne(ctx context.Context, m *mountinfo.Info) error {
	point := m.Mountpoint
	began := time.Now()
	until, ok := ctx.Deadline()
	if !ok {
		until = began.Add(20 * time.Second)
	}
	half := began.Add(time.Until(until) / 2)
	gone := make(map[reconcile.Process]unix.Signal) // what was sent to whom
	unseen := 0
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := h.flights.do(ctx, "unmount "+point, func() error { return unix.Unmount(point, unix.UMOUNT_NOFOLLOW) }, nil)
		switch {
		case err == nil, errors.Is(err, unix.EINVAL): // EINVAL: not a mount point any more
			return h.isOff(m)
		case !errors.Is(err, unix.EBUSY):
			if errno := (unix.Errno)(0); errors.As(err, &errno) {
				return fmt.Errorf("cannot unmount %s: %w", point, err)
			}
			return err
		}
		holders, herr := h.holdersWithin(ctx, m)
		ps, others := processesOf(holders)
		if len(others) > 0 {
			return fmt.Errorf("cannot unmount %s: busy (%s) — release what holds it, nobody was signalled for it", point, nameHolders(holders))
		}
		if len(ps) == 0 {
			if unseen++; unseen > 20 || time.Until(until) < wait {
				return fmt.Errorf("cannot unmount %s: busy, and no holder can be seen from here — look into other pid namespaces and at file descriptors in flight on sockets%s", point, reasons(herr))
			}
		}
		if err := h.signalHolders(ctx, point, holders, gone, time.Now().After(half)); err != nil {
			return err
		}
		if time.Until(until) < wait || !pause(ctx, wait) {
			if ctx.Err() != nil {
				return fmt.Errorf("cannot unmount %s: busy (%s%s): %w", point, nameHolders(holders), reasons(herr), context.Cause(ctx))
			}
			if len(ps) == 0 {
				return fmt.Errorf("cannot unmount %s: busy%s", point, reasons(herr))
			}
			return fmt.Errorf("cannot unmount %s: busy (%s) after SIGTERM and SIGKILL — stop it or find what it waits for in the kernel", point, nameHolders(holders))
		}
	}
}

// reasons is what could not be read, if anything, for the end of a sentence.
func reasons(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// signalHolders sends SIGTERM once to each holder, and SIGKILL once when it is
// time. Those that must not be signalled are an error.
func (h *Host) signalHolders(ctx context.Context, point string, holders []Holder, sent map[reconcile.Process]unix.Signal, kill bool) error {
	spared := ancestors()
	for _, hd := range holders {
		if hd.Kind != HeldByProcess {
			continue
		}
		if spared[hd.PID] {
			return fmt.Errorf("cannot unmount %s: busy (%s), and that is this program, its parent or process 1 — leave the directory, restart it elsewhere", point, hd)
		}
	}
	for _, hd := range holders {
		if hd.Kind != HeldByProcess {
			continue
		}
		p := reconcile.Process{PID: hd.PID, Start: hd.Start}
		sig := unix.SIGTERM
		if kill {
			sig = unix.SIGKILL
		}
		if last, ok := sent[p]; ok && (last == sig || last == unix.SIGKILL) {
			continue
		}
		sent[p] = sig
		if err := signal(p, sig); err != nil {
			return err
		}
		h.log.WarnContext(ctx, "signalled a process that keeps a mount busy", "mount", point, "pid", hd.PID, "command", hd.Command, "signal", unix.SignalName(sig), "reason", hd.What)
	}
	return nil
}

// processesOf splits holders into processes and everything else that stops an
// unmount. Other mount namespaces do not stop it.
func processesOf(holders []Holder) (ps, others []Holder) {
	for _, hd := range holders {
		switch hd.Kind {
		case HeldByProcess:
			ps = append(ps, hd)
		case HeldByNamespace:
		default:
			others = append(others, hd)
		}
	}
	return ps, others
}

// isOff verifies that a mount is no longer in the table.
func (h *Host) isOff(m *mountinfo.Info) error {
	table, err := mountTable()
	if err != nil {
		return fmt.Errorf("cannot prove that %s is unmounted: %w", m.Mountpoint, err)
	}
	for _, o := range table {
		if o.ID == m.ID && o.Mountpoint == m.Mountpoint && o.Major == m.Major && o.Minor == m.Minor {
			return fmt.Errorf("cannot unmount %s: the kernel said yes, but the mount table still shows it", m.Mountpoint)
		}
	}
	return nil
}
