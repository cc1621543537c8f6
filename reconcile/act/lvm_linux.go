package act

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"understudy/config"
	"understudy/observers/lvm"
)

// Volume groups are held exclusively by LVM's system id (lvmsystemid(7)): the
// metadata name one host, and LVM on every other host refuses to switch the group
// on, by hand, at boot, and when its disks appear. That is a lock beside our own:
// it holds where this program does not run. It is no evidence: taking a group over
// from the host that the metadata name is allowed in an Activate step alone, which
// comes after the claim.
//
// After a clean release the name stays. A group that names nobody could be
// switched on by every host at its boot; one that names its last holder by that one
// alone, and the next holder puts its own name there.
//
// The kernel where this is tested by CI has no device mapper: there, the commands
// and what follows from their reports are tested with stand-ins for the programs
// and reports that were recorded. `understudy lab vm lvm` shows it on machines with
// LVM and a shared disk.

// activateLVM switches a volume group on for this host alone.
func (h *Host) activateLVM(ctx context.Context, name string) error {
	fail := func(err error) error { return fmt.Errorf("cannot activate volume group %s: %w", name, err) }
	read := h.lvmCommands()
	ours, err := read.SystemID(ctx)
	if err == nil && ours == "" {
		err = errors.New(lvm.NoSystemID)
	}
	if err != nil {
		return fail(err)
	}
	// LVM reads the metadata from the disks with every command.
	g, err := read.Group(ctx, name)
	if err == nil {
		err = g.Refuse()
	}
	if err != nil {
		return fail(err)
	}
	before, err := lvm.ListMapped(h.sysBlock())
	if err != nil {
		return fail(err)
	}
	if g.SystemID != ours {
		if err := h.ownLVM(ctx, g, ours); err != nil {
			return fail(err)
		}
	}
	if err := lvmChange(ctx, "", "--activate", "y", name); err != nil {
		return fail(err)
	}
	// What was active already has the tables of then; another host may have changed
	// them.
	if slices.ContainsFunc(before, func(m lvm.Mapped) bool { return m.In(name, g.UUID) }) {
		if err := lvmChange(ctx, "", "--refresh", name); err != nil {
			return fail(err)
		}
	}
	return h.provedActive(ctx, name, ours)
}

// ownLVM writes this host's system id into the metadata of a volume group, over
// that of another host if need be. For that one command, LVM is told that this host
// may use what the other one owns, as the resource agent LVM-activate does it.
func (h *Host) ownLVM(ctx context.Context, g lvm.Group, ours string) error {
	settings := ""
	if g.SystemID != "" { // checked: a system id has no quotes
		settings = fmt.Sprintf(` local{extra_system_ids=["%s"]}`, g.SystemID)
	}
	if err := lvmChange(ctx, settings, "--yes", "--systemid", ours, g.Name); err != nil {
		return err
	}
	h.log.InfoContext(ctx, "volume group taken over", "volume_group", g.Name, "system_id", ours, "from_system_id", g.SystemID)
	return nil
}

// provedActive looks whether a volume group is on and ours: the metadata by LVM,
// what is active by the kernel's own list.
func (h *Host) provedActive(ctx context.Context, name, ours string) error {
	fail := func(err error) error { return fmt.Errorf("cannot activate volume group %s: %w", name, err) }
	read := h.lvmCommands()
	g, err := read.Group(ctx, name)
	if err == nil && g.SystemID != ours {
		err = fmt.Errorf("its metadata name %q as the owner afterwards, not this host (%s) — another host works on it: find out which", g.SystemID, ours)
	}
	if err != nil {
		return fail(err)
	}
	volumes, err := read.Volumes(ctx, name)
	if err != nil {
		return fail(err)
	}
	after, err := lvm.ListMapped(h.sysBlock())
	if err != nil {
		return fail(err)
	}
	for _, v := range volumes {
		if v.Private() || v.Skip {
			continue
		}
		if !slices.ContainsFunc(after, func(m lvm.Mapped) bool { return m.Of(g.UUID, v.UUID) }) {
			return fail(fmt.Errorf("logical volume %s is not active afterwards — look at activation/volume_list of lvm.conf; vgchange -ay -v %s says more", v.Name, name))
		}
		if v.Path != "" {
			if err := h.dropBuffers(ctx, v.Path); err != nil {
				return fail(err)
			}
		}
	}
	return nil
}

// deactivateLVM switches a volume group off, whoever its metadata name: a host that
// lost it to another one must get rid of what it has. The system id stays.
func (h *Host) deactivateLVM(ctx context.Context, name string) error {
	fail := func(err error) error { return fmt.Errorf("cannot deactivate volume group %s: %w", name, err) }
	active, err := h.activeOf(name)
	if err != nil {
		return fail(err)
	}
	if len(active) == 0 {
		return nil // nothing to ask of disks that may be gone
	}
	table, err := mountTable()
	if err != nil {
		return fail(err)
	}
	for _, m := range active {
		if i := slices.IndexFunc(table, func(at *mountinfo.Info) bool { return carries(at, devno{m.Major, m.Minor}) }); i >= 0 {
			return fail(fmt.Errorf("%s is mounted at %s — umount it first", m.Name, table[i].Mountpoint))
		}
	}
	off := lvmChange(ctx, "", "--activate", "n", name)
	if active, err = h.activeOf(name); err != nil {
		return fail(err)
	}
	if len(active) > 0 {
		if off == nil {
			off = errors.New("vgchange says it is done")
		}
		return fail(fmt.Errorf("%s still active: %w — see who has them open with lsof /dev/mapper/%s; where the disks are gone: dmsetup remove %s", nameMapped(active), off, active[0].Name, active[0].Name))
	}
	return nil
}

// activeOf lists what is active of a volume group, by the names that LVM gave.
func (h *Host) activeOf(name string) ([]lvm.Mapped, error) {
	mapped, err := lvm.ListMapped(h.sysBlock())
	return slices.DeleteFunc(mapped, func(m lvm.Mapped) bool { return !m.In(name, "") }), err
}

// volumesLeft names what is still active of a group's volume groups.
func (h *Host) volumesLeft(g config.Group) []string {
	var left []string
	for _, v := range g.Volumes {
		if v.Kind != config.LVM {
			continue
		}
		active, err := h.activeOf(v.Name)
		if err != nil {
			left = append(left, fmt.Sprintf("what is active of volume group %s is unknown (%v)", v.Name, err))
		}
		if len(active) > 0 {
			left = append(left, fmt.Sprintf("volume group %s is switched on (%s)", v.Name, nameMapped(active)))
		}
	}
	return left
}

func nameMapped(ms []lvm.Mapped) string {
	const most = 4
	var names []string
	for i, m := range ms {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(ms)-most))
			break
		}
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ")
}

// sysBlock is where the kernel lists block devices.
func (h *Host) sysBlock() string {
	if h.opts.sysBlock != "" {
		return h.opts.sysBlock
	}
	return lvm.SysBlock
}

// lvmCommands reads with the locks of LVM, so that nothing changes between the
// reading and what is done about it.
func (h *Host) lvmCommands() lvm.Commands {
	return lvm.Commands{Run: func(ctx context.Context, argv ...string) (lvm.Output, error) {
		o, err := run(ctx, command{argv: argv})
		return lvm.Output{Code: o.code, Stdout: o.stdout, Stderr: o.stderr}, err
	}}
}

// lvmChange runs vgchange. settings are added to those that every command gets.
func lvmChange(ctx context.Context, settings string, args ...string) error {
	argv := append([]string{"vgchange", "--config", lvm.Settings + settings}, args...)
	o, err := run(ctx, command{argv: argv})
	if err != nil {
		return err
	}
	if o.code != 0 {
		return fmt.Errorf("vgchange %s ended with exit status %d: %s", strings.Join(args, " "), o.code, o.says())
	}
	return nil
}
