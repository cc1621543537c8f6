package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Holders tells what keeps the file system mounted at a point busy, and what
// would keep its device busy after an unmount. An error says what could not be
// read; the holders found are good all the same, but there may be more.
func Holders(mount string) ([]Holder, error) {
	table, err := mountTable()
	if err != nil {
		return nil, err
	}
	m := topAt(table, mount)
	if m == nil {
		return nil, fmt.Errorf("cannot look for holders of %s: nothing is mounted there", mount)
	}
	return holdersOf(m)
}

// holdersWithin is holdersOf for callers that must not hang.
func (h *Host) holdersWithin(ctx context.Context, m *mountinfo.Info) ([]Holder, error) {
	type found struct {
		holders []Holder
		err     error
	}
	c := make(chan found, 1)
	if err := h.flights.do(ctx, "look for the holders of "+m.Mountpoint, func() error {
		hs, err := holdersOf(m)
		c <- found{hs, err}
		return nil
	}, nil); err != nil {
		return nil, err
	}
	f := <-c
	return f.holders, f.err
}

func holdersOf(m *mountinfo.Info) ([]Holder, error) {
	dev := devno{uint32(m.Major), uint32(m.Minor)}
	var out []Holder
	var unread []error
	for _, look := range []func() ([]Holder, error){
		func() ([]Holder, error) { return processHolders(m, dev) },
		func() ([]Holder, error) { return nestedMounts(m) },
		func() ([]Holder, error) { return loopsBackedBy(dev) },
		func() ([]Holder, error) { return swapsOn(dev) },
		func() ([]Holder, error) { return namespacesWith(dev) },
		func() ([]Holder, error) { return exportsBelow(m.Mountpoint) },
	} {
		hs, err := look()
		out = append(out, hs...)
		unread = append(unread, err)
	}
	return out, errors.Join(unread...)
}

// processHolders finds processes whose root, working directory, program, open
// files or mappings are on this very mount: the mount id is compared, so that a
// file on the file system around it, or on a bind mount beside it, is no match.
func processHolders(m *mountinfo.Info, dev devno) ([]Holder, error) {
	pids, err := allPIDs()
	if err != nil {
		return nil, err
	}
	var out []Holder
	var unread []error
	for _, pid := range pids {
		st, err := readStat(pid)
		if err != nil {
			continue // gone
		}
		what, err := usesMount(pid, m.ID, dev)
		if err != nil && !ended(pid, err) {
			unread = append(unread, fmt.Errorf("cannot look at pid %d: %w", pid, err))
		}
		if what != "" {
			out = append(out, Holder{Kind: HeldByProcess, PID: pid, Start: st.start, Command: commandOf(pid), What: what})
		}
	}
	return out, errors.Join(unread...)
}

// usesMount says how a process uses a mount, "" if it does not.
func usesMount(pid, mountID int, dev devno) (string, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	for _, l := range []struct{ name, what string }{
		{"cwd", "has its working directory at "}, {"root", "has its root at "}, {"exe", "runs "},
	} {
		on, err := onMount(dir+"/"+l.name, mountID)
		if err != nil {
			return "", err
		}
		if on {
			return l.what + target(dir+"/"+l.name), nil
		}
	}
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return "", err
	}
	for _, fd := range fds {
		if on, _ := onMount(dir+"/fd/"+fd.Name(), mountID); on {
			return "has " + target(dir+"/fd/"+fd.Name()) + " open", nil
		}
	}
	maps, err := os.ReadFile(dir + "/maps")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[3] != fmt.Sprintf("%02x:%02x", dev.major, dev.minor) {
			continue
		}
		if on, _ := onMount(dir+"/map_files/"+mapName(f[0]), mountID); on {
			return "has " + strings.Join(f[5:], " ") + " mapped", nil
		}
	}
	return "", nil
}

// mapName turns an address range of maps into its name in map_files, which has
// no leading zeros.
func mapName(r string) string {
	from, to, _ := strings.Cut(r, "-")
	trim := func(s string) string {
		if s = strings.TrimLeft(s, "0"); s == "" {
			s = "0"
		}
		return s
	}
	return trim(from) + "-" + trim(to)
}

// onMount reports whether what a magic link leads to lies on a mount. It asks
// the file system nothing (AT_STATX_DONT_SYNC), so that a dead one does not hang
// it. What has no such link (kernel threads, zombies) is on no mount.
func onMount(link string, mountID int) (bool, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, link, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &st)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "statx", Path: link, Err: err}
	}
	if st.Mask&unix.STATX_MNT_ID == 0 {
		return false, fmt.Errorf("cannot read the mount of %s: the kernel is older than 5.8", link)
	}
	return st.Mnt_id == uint64(mountID), nil
}

func target(link string) string {
	t, err := os.Readlink(link)
	if err != nil {
		return "a file"
	}
	return t
}

// nestedMounts finds mounts on directories of this mount.
func nestedMounts(m *mountinfo.Info) ([]Holder, error) {
	table, err := mountTable()
	if err != nil {
		return nil, err
	}
	var out []Holder
	for _, o := range table {
		if o.Parent == m.ID && o.ID != m.ID {
			out = append(out, Holder{Kind: HeldByMount, What: o.Mountpoint + " (" + o.Source + ")"})
		}
	}
	return out, nil
}

// loopsBackedBy finds loop devices that use a file on a file system with this
// device number, or the block device of that number itself.
func loopsBackedBy(dev devno) ([]Holder, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	var out []Holder
	var unread []error
	for _, file := range files {
		name := strings.Split(file, "/")[3]
		backing, err := os.ReadFile(file)
		if err != nil {
			continue // detached meanwhile
		}
		f, err := os.Open("/dev/" + name)
		if errors.Is(err, os.ErrNotExist) {
			// sysfs lists every loop device of the kernel, also those of a container
			// that this host's /dev does not have. Its file tells as much.
			switch on, err := liesOn(strings.TrimSpace(string(backing)), dev); {
			case err != nil:
				unread = append(unread, fmt.Errorf("cannot look at loop device %s: %w", name, err))
			case on:
				out = append(out, Holder{Kind: HeldByLoop, What: name + " backed by " + strings.TrimSpace(string(backing))})
			}
			continue
		}
		if err != nil {
			unread = append(unread, fmt.Errorf("cannot look at loop device %s: %w", name, err))
			continue
		}
		info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
		_ = f.Close()
		switch {
		case errors.Is(err, unix.ENXIO): // detached meanwhile
		case err != nil:
			unread = append(unread, fmt.Errorf("cannot look at loop device %s: %w", name, err))
		case toDevno(info.Device) == dev, info.Rdevice != 0 && toDevno(info.Rdevice) == dev:
			out = append(out, Holder{Kind: HeldByLoop, What: "/dev/" + name + " backed by " + strings.TrimSpace(string(backing))})
		}
	}
	return out, errors.Join(unread...)
}

// liesOn reports whether a path is a file on the file system of that device, or
// the device itself. What this host's tree does not have lies on nothing of it.
func liesOn(path string, dev devno) (bool, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			return false, nil
		}
		return false, fmt.Errorf("cannot look at its file %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		return toDevno(st.Rdev) == dev, nil
	}
	return toDevno(st.Dev) == dev, nil
}

// swapsOn finds swap files on a file system, or the swap device of that number.
func swapsOn(dev devno) ([]Holder, error) {
	b, err := os.ReadFile("/proc/swaps")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // a kernel without swap
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the swap areas: %w", err)
	}
	var out []Holder
	var unread []error
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		f := strings.Fields(line)
		if i == 0 || len(f) < 2 {
			continue
		}
		path := octal(f[0])
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			unread = append(unread, fmt.Errorf("cannot look at swap area %s: %w", path, err))
			continue
		}
		block := st.Mode&unix.S_IFMT == unix.S_IFBLK
		if !block && toDevno(st.Dev) == dev || block && toDevno(st.Rdev) == dev {
			out = append(out, Holder{Kind: HeldBySwap, What: path})
		}
	}
	return out, errors.Join(unread...)
}

// octal undoes the \040 quoting of /proc.
func octal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// namespacesWith finds other mount namespaces that have the device mounted.
func namespacesWith(dev devno) ([]Holder, error) {
	tables, err := otherTables()
	var out []Holder
	for _, t := range tables {
		if i := slices.IndexFunc(t.table, func(m *mountinfo.Info) bool { return carries(m, dev) }); i >= 0 {
			out = append(out, Holder{Kind: HeldByNamespace, PID: t.pid, Command: t.command,
				What: "lives in another mount namespace with the device at " + t.table[i].Mountpoint})
		}
	}
	return out, err
}

// exportsBelow finds directories of a mount that the kernel's NFS server exports.
func exportsBelow(point string) ([]Holder, error) {
	b, err := os.ReadFile("/proc/fs/nfsd/exports")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // no NFS server here
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the NFS exports: %w", err)
	}
	return parseExports(string(b), point), nil
}

// parseExports reads what the kernel's NFS server lists: a path, a tab, and a client
// with its flags in brackets; white space and backslashes are escaped in octal
// (fs/nfsd/export.c, svc_export_show).
func parseExports(list, point string) []Holder {
	var out []Holder
	for line := range strings.Lines(list) {
		path, who, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(path, "#") || path == "" {
			continue
		}
		if path = octal(path); below(path, point) {
			client, _, _ := strings.Cut(who, "(")
			out = append(out, Holder{Kind: HeldByExport, What: path + " to " + client + " (exportfs -u " + client + ":" + path + ")"})
		}
	}
	return out
}
