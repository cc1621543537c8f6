package observers

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"understudy/observers/addrs"
	"understudy/observers/lvm"
	"understudy/observers/mounts"
	"understudy/observers/trigger"
)

const bootIDPath = "/proc/sys/kernel/random/boot_id"

// BootID reads the id of this boot of this host (random(4)).
func BootID() (string, error) {
	text, err := os.ReadFile(bootIDPath)
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	id := string(bytes.TrimSpace(text))
	if id == "" {
		return "", fmt.Errorf("cannot read the boot id: %s is empty", bootIDPath)
	}
	return id, nil
}

func hostname(context.Context) (string, error) { return os.Hostname() }

func newVolumes(fire func()) volumeObserver { return lvm.New(lvm.Exec(), fire) }

// systemWatches are the changes that the kernel tells of, and the volume groups,
// which are read in the background.
func (h *Host) systemWatches() []aWatch {
	fire := h.changes.Fire
	out := []aWatch{
		{"mounts", func(ctx context.Context) error { return mounts.Watch(ctx, fire) }},
		{"addresses", func(ctx context.Context) error { return addrs.Watch(ctx, fire) }},
		{"host name", func(ctx context.Context) error { return trigger.File(ctx, "/proc/sys/kernel/hostname", fire) }},
	}
	if v, ok := h.volumes.(*lvm.Observer); ok {
		out = append(out, aWatch{"volume groups", v.Run})
	}
	return out
}
