package lvm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// SysBlock is where the kernel lists its block devices (sysfs(5)).
const SysBlock = "/sys/block"

// Mapped is a logical volume, or a part of one, that is usable on this host: a
// device of device mapper that LVM made.
type Mapped struct {
	Kernel string // dm-0
	Name   string // as in /dev/mapper: vg-lv, dashes within a name doubled
	UUID   string // LVM-, the group's uuid, the volume's uuid, and perhaps -layer
	Group  string
	Major  uint32
	Minor  uint32
}

// Of reports whether the device is of a logical volume.
func (m Mapped) Of(groupUUID, volumeUUID string) bool {
	return m.UUID == "LVM-"+compact(groupUUID)+compact(volumeUUID)
}

// In reports whether the device is of a volume group: by uuid where that is known,
// else by name.
func (m Mapped) In(group, groupUUID string) bool {
	if id := compact(groupUUID); id != "" {
		return strings.HasPrefix(m.UUID, "LVM-"+id)
	}
	return m.Group == group
}

// ListMapped reads what is active from sysfs, which asks no disk: it answers where
// every path to the storage is dead. dir is [SysBlock].
func ListMapped(dir string) ([]Mapped, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list block devices: %w", err)
	}
	var out []Mapped
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "dm-") {
			continue
		}
		name, err := attribute(dir, e.Name(), "name")
		if err == nil && name != "" {
			m := Mapped{Kernel: e.Name(), Name: name, Group: groupOf(name)}
			if m.UUID, err = attribute(dir, e.Name(), "uuid"); err == nil && strings.HasPrefix(m.UUID, "LVM-") {
				if m.Major, m.Minor, err = number(dir, e.Name()); err == nil {
					out = append(out, m)
				}
			}
		}
		// A device that goes while it is looked at is gone.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENODEV) {
			return nil, fmt.Errorf("cannot tell what %s is: %w", e.Name(), err)
		}
	}
	return out, nil
}

// number is a device's number, from MAJOR:MINOR.
func number(dir, device string) (major, minor uint32, err error) {
	b, err := os.ReadFile(filepath.Join(dir, device, "dev"))
	if err == nil {
		_, err = fmt.Sscanf(string(b), "%d:%d", &major, &minor)
	}
	return major, minor, err
}

func attribute(dir, device, name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, device, "dm", name))
	return strings.TrimSuffix(string(b), "\n"), err
}

// groupOf is the volume group in a name of device mapper: what stands before the
// first single dash, where two stand for one.
func groupOf(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '-' {
			if i+1 == len(name) || name[i+1] != '-' {
				break
			}
			i++
		}
		b.WriteByte(name[i])
	}
	return b.String()
}
