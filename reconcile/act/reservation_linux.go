package act

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"understudy/config"
	"understudy/observers/scsi"
	"understudy/reconcile"
)

// reserve has all disks below an object refuse the other hosts. See
// [reconcile.Reserve].
func (h *Host) reserve(ctx context.Context, s reconcile.Reserve) error {
	what := objectOf(s.Device, s.Volume)
	err := h.disks(ctx, s.Device, s.Volume, "reserve "+what, func(d reservable) error { return d.reserve(ctx, s.Key, s.Nodes) })
	if err != nil {
		return fmt.Errorf("cannot reserve %s: %w", what, err)
	}
	h.log.InfoContext(ctx, "disks reserved", "object", what, "key", s.Key.String())
	return nil
}

// unreserve takes this host's keys off all disks below an object. See
// [reconcile.Unreserve].
func (h *Host) unreserve(ctx context.Context, s reconcile.Unreserve) error {
	what := objectOf(s.Device, s.Volume)
	if err := h.disks(ctx, s.Device, s.Volume, "unreserve "+what, func(d reservable) error { return d.release(ctx, s.Key) }); err != nil {
		return fmt.Errorf("cannot take this host's key off %s: %w", what, err)
	}
	return nil
}

func objectOf(device string, v config.Volume) string {
	if device != "" {
		return device
	}
	return v.Name
}

// disks does something with each disk below a device or a volume group. It hangs no
// longer than ctx lasts, whatever the storage does.
func (h *Host) disks(ctx context.Context, device string, v config.Volume, what string, each func(reservable) error) error {
	devices := []string{device}
	if device == "" {
		physical, err := h.lvmCommands().Physical(ctx, v.Name)
		if err != nil {
			return err
		}
		devices = physical[v.Name]
	}
	return h.flights.do(ctx, what, func() error {
		units, err := scsi.Below(scsi.System{}, devices...)
		if err != nil {
			return err
		}
		for _, u := range units {
			if err := h.disk(ctx, u, each); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

// disk opens the paths to a disk that work, and leaves out one that does not answer as
// long as another does.
func (h *Host) disk(ctx context.Context, u scsi.Unit, each func(reservable) error) error {
	d := reservable{name: u.Name(), all: len(u.Paths), persist: true, log: h.log}
	open, broken := answering(ctx, &h.flights, u.Up, askPath, func(p asked) { p.Close() })
	for _, p := range open {
		defer p.Close()
		d.persist = d.persist && p.persist
		d.paths = append(d.paths, p.Disk)
	}
	if len(d.paths) == 0 {
		return fmt.Errorf("no path to %s answers: %w — see what it can do: sg_persist --in --report-capabilities %s", d.name, errors.Join(broken...), u.Paths[0])
	}
	for _, err := range broken {
		h.log.WarnContext(ctx, "path left out of a reservation", "disk", d.name, "err", err)
	}
	if !d.persist {
		h.log.WarnContext(ctx, "reservation does not outlive a power cut of the disk", "disk", d.name, "paths", strings.Join(u.Up, " "))
	}
	return each(d)
}

// asked is a path that answers.
type asked struct {
	*scsi.Disk
	persist bool // see reservable
}

// askPath opens a path and asks the disk what it can do.
func askPath(path string) (asked, error) {
	p, err := scsi.Open(path)
	if err != nil {
		return asked{}, err
	}
	a := asked{p, true}
	c, err := p.Capabilities()
	switch {
	case err == nil:
		a.persist = c.Persist
	case refused(err): // it need not know that command
		_, err = p.Keys()
	}
	if err != nil {
		_ = p.Close()
		return asked{}, err
	}
	return a, nil
}

// refused reports that a disk was reached and does not know a command.
func refused(err error) bool {
	e, ok := errors.AsType[*scsi.StatusError](err)
	return ok && e.Host == 0
}
