package aix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"understudy/config"
	look "understudy/observers/aix"
)

// Mount attaches a file system. One of AIX's own (jfs, jfs2) is checked before by
// fsck -p -f, as AIX does it at its start: it replays the log, leaves one alone
// that was unmounted in order, and mends what needs no decision.
func (h *Host) Mount(ctx context.Context, f config.Filesystem) error {
	fail := func(err error) error { return fmt.Errorf("cannot mount %s at %s: %w", f.Device, f.Mount, err) }
	if !clean(f.Mount) || strings.HasPrefix(f.Device, "-") || f.Type == "" {
		return fail(errors.New("the mount point is not an absolute, clean path below /, or device or type are none"))
	}
	here, err := h.mounted(ctx, f)
	if err != nil {
		return fail(err)
	}
	if here {
		return nil
	}
	options, err := h.options(f)
	if err != nil {
		return fail(err)
	}
	if err := mountPoint(f.Mount); err != nil {
		return fail(err)
	}
	if !overNetwork(f.Type) {
		if _, _, err := h.See.Device(f.Device); err != nil {
			return fail(fmt.Errorf("%w — is its volume group varied on?", err))
		}
		if strings.HasPrefix(f.Type, "jfs") {
			if err := h.run(ctx, "fsck", "-p", "-f", "-V", f.Type, f.Device); err != nil {
				return fail(fmt.Errorf("its check found what it could not mend: %w — run fsck %s by hand", err, f.Device))
			}
		}
	}
	argv := []string{"mount", "-v", f.Type}
	if len(options) > 0 {
		argv = append(argv, "-o", strings.Join(options, ","))
	}
	if err := h.run(ctx, append(argv, f.Device, f.Mount)...); err != nil {
		return fail(err)
	}
	if here, err = h.mounted(ctx, f); err != nil {
		return fail(err)
	}
	if !here {
		return fail(errors.New("mount said yes, but the mount table does not show it"))
	}
	h.Log.InfoContext(ctx, "mounted", "mount", f.Mount, "device", f.Device)
	return nil
}

// mounted reports whether the device is mounted as declared. It is an error if it
// is somewhere else, or something else is at the point.
func (h *Host) mounted(ctx context.Context, f config.Filesystem) (bool, error) {
	table, err := h.See.Mounts(ctx)
	if err != nil {
		return false, err
	}
	for _, m := range table {
		ours, err := h.carries(m, f.Device)
		if err != nil {
			return false, err
		}
		if ours && m.Point != f.Mount {
			return false, fmt.Errorf("the device is mounted at %s already — umount %s", m.Point, m.Point)
		}
	}
	top, ok := topAt(table, f.Mount)
	if !ok {
		return false, nil
	}
	ours, err := h.carries(top, f.Device)
	switch {
	case err != nil:
		return false, err
	case !ours:
		return false, fmt.Errorf("%s (%s) is mounted there — umount %s", top.Source, top.FSType, f.Mount)
	case top.FSType != f.Type && !overNetwork(f.Type):
		return false, fmt.Errorf("it is mounted there as %s, declared is %s — umount %s", top.FSType, f.Type, f.Mount)
	case top.ReadOnly && !slices.Contains(f.Options, "ro"):
		return false, fmt.Errorf("it is mounted there read-only — look at errpt, then umount %s", f.Mount)
	}
	return true, nil
}

// options are the declared ones and, for a file system with a log of its own
// volume, that log: mount looks it up in /etc/filesystems only if it is not told
// device and point. An entry there that names another device is an error, and one
// that is mounted at boot too.
func (h *Host) options(f config.Filesystem) ([]string, error) {
	options := slices.Clone(f.Options)
	text, err := h.Filesystems()
	if errors.Is(err, os.ErrNotExist) {
		return options, nil
	}
	if err != nil {
		return nil, err
	}
	stanzas, err := look.ParseFilesystems(text)
	if err != nil {
		return nil, err
	}
	for _, s := range stanzas {
		if s.Point != f.Mount {
			continue
		}
		if dev := s.Keys["dev"]; dev != "" && dev != f.Device {
			return nil, fmt.Errorf("/etc/filesystems has %s at that point — make both say the same", dev)
		}
		if at := s.Keys["mount"]; at == "true" || at == "automatic" {
			return nil, fmt.Errorf("/etc/filesystems mounts it at every boot — chfs -A no %s", f.Mount)
		}
		named := slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "log=") })
		if log := s.Keys["log"]; log != "" && !named && strings.HasPrefix(f.Type, "jfs") {
			options = append(options, "log="+log)
		}
	}
	return options, nil
}

// mountPoint makes sure that there is a directory to mount on, and that the path
// to it has no symbolic link, since the mount table would show another path.
func mountPoint(point string) error {
	parent := filepath.Dir(point)
	real, err := filepath.EvalSymlinks(parent)
	if err != nil {
		return fmt.Errorf("%w — mkdir -p %s", err, point)
	}
	if real != parent {
		return fmt.Errorf("%s is %s behind a symbolic link — declare the mount as %s", parent, real, filepath.Join(real, filepath.Base(point)))
	}
	fi, err := os.Lstat(point)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return os.Mkdir(point, 0o755)
	case err != nil:
		return err
	case !fi.IsDir():
		return fmt.Errorf("the mount point is not a directory but %v", fi.Mode())
	}
	return nil
}

// NotMounted is an error while a device is mounted.
func (h *Host) NotMounted(ctx context.Context, device string) error {
	table, err := h.See.Mounts(ctx)
	if err != nil {
		return fmt.Errorf("cannot let %s go: %w", device, err)
	}
	for _, m := range table {
		ours, err := h.carries(m, device)
		if err == nil && ours {
			err = fmt.Errorf("it is still mounted at %s — umount it first", m.Point)
		}
		if err != nil {
			return fmt.Errorf("cannot let %s go: %w", device, err)
		}
	}
	return nil
}
