package act

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// activate makes a device or a volume group usable. See [reconcile.Activate].
func (h *Host) activate(ctx context.Context, s reconcile.Activate) error {
	if s.Device == "" {
		if s.Volume.Kind != config.LVM {
			return fmt.Errorf("cannot activate volume group %s: kind %q is not known", s.Volume.Name, s.Volume.Kind)
		}
		return h.activateLVM(ctx, s.Volume.Name)
	}
	if err := h.dropBuffers(ctx, s.Device); err != nil {
		return fmt.Errorf("cannot activate %s: %w", s.Device, err)
	}
	return nil
}

// deactivate lets a device or a volume group go. See [reconcile.Deactivate].
func (h *Host) deactivate(ctx context.Context, s reconcile.Deactivate) error {
	if s.Device == "" {
		if s.Volume.Kind != config.LVM {
			return fmt.Errorf("cannot deactivate volume group %s: kind %q is not known", s.Volume.Name, s.Volume.Kind)
		}
		return h.deactivateLVM(ctx, s.Volume.Name)
	}
	points, err := mountsOf(s.Device)
	if err == nil && len(points) > 0 {
		err = fmt.Errorf("it is still mounted at %s — umount it first", points[0])
	}
	if err == nil {
		err = h.dropBuffers(ctx, s.Device)
	}
	if err != nil {
		return fmt.Errorf("cannot let %s go: %w", s.Device, err)
	}
	return nil
}

// mountsOf lists where a block device is mounted here.
func mountsOf(device string) ([]string, error) {
	dev, err := blockDevice(device)
	if err != nil {
		return nil, err
	}
	table, err := mountTable()
	if err != nil {
		return nil, err
	}
	var points []string
	for _, m := range table {
		if carries(m, dev) {
			points = append(points, m.Mountpoint)
		}
	}
	return points, nil
}

// dropBuffers writes back and forgets what this kernel has cached of a block
// device (BLKFLSBUF, as blockdev --flushbufs), unless it is mounted here, and
// reads its first sector to see that it answers.
func (h *Host) dropBuffers(ctx context.Context, path string) error {
	if _, err := blockDevice(path); err != nil {
		return fmt.Errorf("%w — is the storage attached?", err)
	}
	points, err := mountsOf(path)
	if err != nil {
		return err
	}
	return h.flights.do(ctx, "flush the buffers of "+path, func() error {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if len(points) == 0 {
			if err := unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0); err != nil {
				return fmt.Errorf("cannot flush its buffers: %w", err)
			}
		}
		if n, err := f.ReadAt(make([]byte, 512), 0); n < 512 {
			if err == nil {
				err = errors.New("it has no sectors")
			}
			return fmt.Errorf("it does not answer: %w — look at the path to the storage", err)
		}
		return nil
	}, nil)
}
