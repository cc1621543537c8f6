package aix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"understudy/reconcile"
)

// System reads one AIX host. Make one with [New]; its methods may be called from
// any goroutine.
type System struct {
	Run  Run
	Proc string // where the process file system is
	// Device tells the number of a block device by the path of its special file.
	Device func(path string) (major, minor uint32, err error)

	once   sync.Once
	layout error // why psinfo files cannot be relied on here, nil if they can
}

// New returns the System of the host this program runs on. device is as in
// [System].
func New(device func(path string) (major, minor uint32, err error)) *System {
	return &System{Run: Exec, Proc: "/proc", Device: device}
}

// Mounts reads the mount table. Device numbers are those of the special file that
// mount names; where there is none, they are zero, and the source counts. AIX
// gives a mount no number of its own, so that ID is its place in the table.
func (s *System) Mounts(ctx context.Context) ([]reconcile.Mount, error) {
	text, err := s.Run(ctx, "mount")
	if err != nil {
		return nil, fmt.Errorf("cannot read the mount table: %w", err)
	}
	table, err := ParseMounts(text)
	if err != nil {
		return nil, err
	}
	out := make([]reconcile.Mount, 0, len(table))
	for i, m := range table {
		r := reconcile.Mount{ID: i + 1, Root: "/", Point: m.Point, FSType: m.VFS, Source: m.Source(), ReadOnly: m.ReadOnly()}
		if m.Node == "" && strings.HasPrefix(m.Device, "/dev/") {
			major, minor, err := s.Device(m.Device)
			if err == nil {
				r.Major, r.Minor = major, minor
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("cannot read the mount table: %w", err)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// Network reads every link by index, and every address. A link has a carrier if
// its adapter says so (entstat), and where the adapter says nothing, if the
// interface is running, which is weaker: AIX shows a virtual adapter as running
// whatever becomes of the wire behind it.
func (s *System) Network(ctx context.Context) ([]reconcile.Link, []reconcile.Addr, error) {
	fail := func(err error) ([]reconcile.Link, []reconcile.Addr, error) {
		return nil, nil, fmt.Errorf("cannot list addresses: %w", err)
	}
	text, err := s.Run(ctx, "ifconfig", "-a")
	if err != nil {
		return fail(err)
	}
	interfaces, err := ParseIfconfig(text)
	if err != nil {
		return fail(err)
	}
	if text, err = s.Run(ctx, "netstat", "-in"); err != nil {
		return fail(err)
	}
	adapters, err := ParseNetstat(text)
	if err != nil {
		return fail(err)
	}
	links := make([]reconcile.Link, 0, len(interfaces))
	addrs := []reconcile.Addr{}
	for _, i := range interfaces {
		at := slices.IndexFunc(adapters, func(a Adapter) bool { return a.Name == i.Name })
		if at < 0 {
			return fail(fmt.Errorf("interface %s came while addresses were listed", i.Name))
		}
		l := reconcile.Link{Index: adapters[at].Index, Name: i.Name, MAC: adapters[at].MAC, Up: i.Up, Carrier: i.Up && i.Running}
		if l.Carrier {
			if l.Carrier, err = s.carrier(ctx, i.Name); err != nil {
				return fail(err)
			}
		}
		links = append(links, l)
		for _, p := range i.Addrs {
			addrs = append(addrs, reconcile.Addr{Link: i.Name, Prefix: p})
		}
	}
	slices.SortFunc(links, func(a, b reconcile.Link) int { return a.Index - b.Index })
	return links, addrs, nil
}

var ethernet = regexp.MustCompile(`^e[nt]([0-9]+)$`)

// carrier asks the adapter behind a running interface: en0 and et0 are those of
// adapter ent0 (reference of entstat).
func (s *System) carrier(ctx context.Context, name string) (bool, error) {
	number := ethernet.FindStringSubmatch(name)
	if number == nil {
		return true, nil
	}
	text, err := s.Run(ctx, "entstat", "-d", "ent"+number[1])
	if exit := (*ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return false, err
	}
	return ParseEntstat(text) != CarrierDown, nil
}

// Volumes reads the volume groups of those names. AIX keeps no owner in their
// metadata; the disks' reservation is what keeps a second host out. Whether all
// disks are here is known only while the group is varied on.
func (s *System) Volumes(ctx context.Context, names []string) ([]reconcile.VolumeState, error) {
	if len(names) == 0 {
		return []reconcile.VolumeState{}, nil
	}
	fail := func(err error) ([]reconcile.VolumeState, error) {
		return nil, fmt.Errorf("cannot read the volume groups: %w", err)
	}
	known, err := s.names(ctx, "lsvg")
	if err != nil {
		return fail(err)
	}
	on, err := s.names(ctx, "lsvg", "-o")
	if err != nil {
		return fail(err)
	}
	disks, err := s.PhysicalVolumes(ctx)
	if err != nil {
		return fail(err)
	}
	out := make([]reconcile.VolumeState, 0, len(names))
	for _, name := range names {
		v := reconcile.VolumeState{Name: name}
		switch {
		case slices.Contains(on, name):
			g, err := s.VolumeGroup(ctx, name)
			if err != nil {
				return fail(err)
			}
			v.Visible, v.Active, v.Ours, v.Missing = g.ActivePVs == g.PVs, g.Active(), true, g.PVs-g.ActivePVs
			switch {
			case !g.Active():
				// On and not writable is neither off nor ours to use.
				v.Active, v.Why = true, fmt.Sprintf("it is varied on, but %s, %s", g.State, g.Permission)
			case g.AutoOn:
				v.Why = "it is varied on at every boot — chvg -a n " + name
			}
		case !slices.Contains(known, name):
			v.Why = "this host does not know it — importvg -y " + name + " hdiskN"
		case !slices.ContainsFunc(disks, func(d PhysicalVolume) bool { return d.Group == name }):
			v.Why = "no physical volume of it is here — cfgmgr"
		default:
			v.Visible = true
		}
		out = append(out, v)
	}
	return out, nil
}

// VolumeGroup reads one volume group that is varied on.
func (s *System) VolumeGroup(ctx context.Context, name string) (VolumeGroup, error) {
	text, err := s.Run(ctx, "lsvg", name)
	if err != nil {
		return VolumeGroup{}, err
	}
	g, err := ParseVolumeGroup(text)
	if err == nil && g.Name != name {
		err = fmt.Errorf("lsvg %s speaks of %q", name, g.Name)
	}
	return g, err
}

// Known lists the volume groups that this host knows, on or off.
func (s *System) Known(ctx context.Context) ([]string, error) { return s.names(ctx, "lsvg") }

// VariedOn lists the volume groups that are on.
func (s *System) VariedOn(ctx context.Context) ([]string, error) { return s.names(ctx, "lsvg", "-o") }

func (s *System) names(ctx context.Context, argv ...string) ([]string, error) {
	text, err := s.Run(ctx, argv...)
	if err != nil {
		return nil, err
	}
	return ParseNames(text)
}

// PhysicalVolumes lists the disks.
func (s *System) PhysicalVolumes(ctx context.Context) ([]PhysicalVolume, error) {
	text, err := s.Run(ctx, "lspv")
	if err != nil {
		return nil, err
	}
	return ParsePhysicalVolumes(text)
}

// Hostname is the name that hostname prints. os.Hostname is no use here: on AIX it
// gives the name of the node (uname -n), which hostname(1) does not change.
func (s *System) Hostname(ctx context.Context) (string, error) {
	text, err := s.Run(ctx, "hostname")
	name := strings.TrimSpace(text)
	if err == nil && (name == "" || strings.ContainsAny(name, " \t\n")) {
		err = fmt.Errorf("hostname prints %.80q", text)
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the host name: %w", err)
	}
	return name, nil
}

var systemBoot = regexp.MustCompile(`(?m)^.*\bsystem boot\s+([A-Z][a-z]{2}) +([0-9]{1,2}) +([0-9]{2}):([0-9]{2})\s*$`)

// ParseBoot makes of what who -b prints an id of the boot: month, day, hour and
// minute, in UTC.
func ParseBoot(text string) (string, error) {
	all := systemBoot.FindAllStringSubmatch(text, 2)
	if len(all) != 1 {
		return "", fmt.Errorf("cannot tell the boot: who -b prints %.120q — is /etc/utmp whole?", text)
	}
	m := all[0]
	at, err := time.Parse("Jan 2 15:04", m[1]+" "+m[2]+" "+m[3]+":"+m[4])
	if err != nil {
		return "", fmt.Errorf("cannot tell the boot: %w", err)
	}
	return at.Format("01021504") + "-aix", nil
}

// BootID is the id of this boot. AIX has none of its own; this one is the minute at
// which the system came up, which init writes to /etc/utmp once for each boot. It
// stays the same when the clock is set or the time zone changes. Two boots have
// the same id only if they began in the same minute of the year: they are then
// taken for one boot, which makes this program wait and never lets it act. A
// utmp file that somebody empties is an error, and not another boot.
func (s *System) BootID(ctx context.Context) (string, error) {
	text, err := s.Run(ctx, "who", "-b")
	if err != nil {
		return "", fmt.Errorf("cannot tell the boot: %w", err)
	}
	return ParseBoot(text)
}

// Process reads one process; the error is fs.ErrNotExist if there is none. Before
// the first one it reads this process itself: if that one is not described as it
// is, the structure is not the one this program was written for, and every
// reading is an error.
func (s *System) Process(pid int) (Psinfo, error) {
	s.once.Do(func() { s.layout = s.checkLayout() })
	if s.layout != nil {
		return Psinfo{}, fmt.Errorf("cannot read process %d: %w", pid, s.layout)
	}
	return s.process(pid)
}

func (s *System) process(pid int) (Psinfo, error) {
	b, err := os.ReadFile(filepath.Join(s.Proc, strconv.Itoa(pid), "psinfo"))
	if err != nil {
		return Psinfo{}, err
	}
	p, err := ParsePsinfo(b)
	if err == nil && p.PID != pid {
		err = fmt.Errorf("psinfo of process %d speaks of %d", pid, p.PID)
	}
	return p, err
}

// began is about when this process began.
var began = time.Now()

func (s *System) checkLayout() error {
	me, err := s.process(os.Getpid())
	switch {
	case err != nil:
		return err
	case me.PPID != os.Getppid() || me.Zombie || me.Start.After(time.Now().Add(24*time.Hour)) || me.Start.Before(began.Add(-24*time.Hour)):
		return fmt.Errorf("psinfo of this process says parent %d, start %s: its structure is not the one expected", me.PPID, me.Start.Format(time.DateTime))
	}
	return nil
}

// Commands lists the command line of every process that has not ended.
func (s *System) Commands(ctx context.Context) (map[int]string, error) {
	text, err := s.Run(ctx, "ps", "-A", "-o", psColumns)
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	list, err := ParsePS(text)
	if err != nil {
		return nil, err
	}
	out := make(map[int]string, len(list))
	for _, l := range list {
		out[l.PID] = l.Args
	}
	return out, nil
}

// Command is the command line of one process, "" if it has ended.
func (s *System) Command(ctx context.Context, pid int) (string, error) {
	text, err := s.Run(ctx, "ps", "-o", psColumns, "-p", strconv.Itoa(pid))
	if exit := (*ExitError)(nil); errors.As(err, &exit) && exit.Code == 1 {
		return "", nil // ps found none (reference of ps, exit status)
	}
	if err != nil {
		return "", fmt.Errorf("cannot read process %d: %w", pid, err)
	}
	list, err := ParsePS(text)
	if err != nil {
		return "", err
	}
	for _, l := range list {
		if l.PID == pid {
			return l.Args, nil
		}
	}
	return "", nil
}

// Users lists the processes that use the file system mounted at a point, by fuser
// with program files and libraries (-x). fuser does not see a mapping whose file
// was closed (its reference says so), so that none found is no proof.
func (s *System) Users(ctx context.Context, point string) ([]int, error) {
	return s.fuser(ctx, "-c", point)
}

// UsersOf lists the processes that have a file or a device itself open.
func (s *System) UsersOf(ctx context.Context, path string) ([]int, error) {
	return s.fuser(ctx, "-f", path)
}

func (s *System) fuser(ctx context.Context, what, path string) ([]int, error) {
	text, err := s.Run(ctx, "fuser", what, "-x", path)
	if exit := (*ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	pids, perr := ParseFuser(text)
	if perr == nil && err != nil && len(pids) == 0 {
		return nil, err // whether anybody uses it is unknown
	}
	slices.Sort(pids)
	return slices.Compact(pids), perr
}

// Subsystems lists what the System Resource Controller knows.
func (s *System) Subsystems(ctx context.Context) ([]Subsystem, error) {
	text, err := s.Run(ctx, "lssrc", "-a")
	if err != nil {
		return nil, fmt.Errorf("cannot ask the System Resource Controller: %w", err)
	}
	return ParseLssrc(text)
}
