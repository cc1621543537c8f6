package lvm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrNotVisible says that no metadata of a volume group can be read here.
var ErrNotVisible = errors.New("cannot find volume group")

// devicesFile is where lvmdevices(8) keeps which devices LVM may use. Where it is
// in force, a disk that is not in it does not exist for LVM.
const devicesFile = "/etc/lvm/devices/system.devices"

// Output is how a command of LVM ended.
type Output struct {
	Code   int // exit status; lvm(8): 5 is a failure, also of one name among many
	Stdout string
	Stderr string
}

// says is the last line of what a command had to say.
func (o Output) says() string {
	for _, s := range []string{o.Stderr, o.Stdout} {
		lines := strings.Split(strings.TrimSpace(s), "\n")
		if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
			return clip(last)
		}
	}
	return "it printed nothing"
}

// Run runs a program and returns when it has ended or soon after ctx has, even if
// the program then still hangs in the kernel. A non-zero exit status is no error.
type Run func(ctx context.Context, argv ...string) (Output, error)

// Commands are the reading commands of LVM.
type Commands struct {
	Run Run
	// ReadOnly has the metadata read without LVM's own locks on this host, so that
	// nothing waits for another command of LVM that hangs.
	ReadOnly bool
}

// SystemID reads the system id of this host, "" if it has none. It follows
// global/system_id_source of lvm.conf(5), as all commands of LVM do.
func (c Commands) SystemID(ctx context.Context) (string, error) {
	o, err := c.Run(ctx, "lvm", "systemid")
	if err != nil {
		return "", err
	}
	if o.Code != 0 {
		return "", fmt.Errorf("cannot read this host's system id: lvm systemid ended with exit status %d: %s", o.Code, o.says())
	}
	return ParseSystemID(o.Stdout)
}

// Groups reads the volume groups of the given names, of every owner. One that
// cannot be seen is not in the result.
func (c Commands) Groups(ctx context.Context, names ...string) ([]Group, error) {
	return c.groups(ctx, GroupFields, names)
}

func (c Commands) groups(ctx context.Context, fields string, names []string) ([]Group, error) {
	argv := append([]string{"vgs", "--foreign", "--shared", "--reportformat", "json"}, c.readOnly()...)
	o, err := c.Run(ctx, append(append(argv, "--config", Settings, "-o", fields), names...)...)
	if err != nil {
		return nil, err
	}
	groups, err := ParseGroups([]byte(o.Stdout))
	if err != nil && o.Code != 0 {
		err = fmt.Errorf("vgs ended with exit status %d: %s", o.Code, o.says())
	}
	return groups, err
}

// Group reads one volume group. Its error is an [ErrNotVisible] if it cannot be
// seen.
func (c Commands) Group(ctx context.Context, name string) (Group, error) {
	groups, err := c.Groups(ctx, name)
	if err != nil {
		return Group{}, err
	}
	g, err := Find(groups, name)
	if errors.Is(err, ErrNotVisible) {
		err = fmt.Errorf("%w — %s", err, WayToSee(name))
	}
	return g, err
}

// WayToSee says what to do about a volume group that LVM does not see.
func WayToSee(name string) string {
	if _, err := os.Stat(devicesFile); err == nil {
		return fmt.Sprintf("attach its disks; if they are, LVM may use only what is in %s: vgimportdevices %s", devicesFile, name)
	}
	return "attach its disks, and look at pvs --all and the filters of lvm.conf"
}

// Volumes reads the logical volumes of a group, parts of others included.
func (c Commands) Volumes(ctx context.Context, group string) ([]Volume, error) {
	argv := append([]string{"lvs", "--foreign", "--shared", "--all", "--reportformat", "json"}, c.readOnly()...)
	o, err := c.Run(ctx, append(argv, "--config", Settings, "-o", VolumeFields, group)...)
	if err != nil {
		return nil, err
	}
	if o.Code != 0 {
		return nil, fmt.Errorf("lvs ended with exit status %d: %s", o.Code, o.says())
	}
	return ParseVolumes([]byte(o.Stdout))
}

// Physical reads the devices below each of the given volume groups. One that cannot be
// seen, or not whole, is an error.
func (c Commands) Physical(ctx context.Context, groups ...string) (map[string][]string, error) {
	argv := append([]string{"pvs", "--foreign", "--shared", "--reportformat", "json"}, c.readOnly()...)
	var choose []string
	for _, g := range groups {
		choose = append(choose, "vg_name="+g)
	}
	o, err := c.Run(ctx, append(argv, "--config", Settings, "-o", PhysicalFields, "--select", strings.Join(choose, "||"))...)
	if err != nil {
		return nil, err
	}
	if o.Code != 0 {
		return nil, fmt.Errorf("pvs ended with exit status %d: %s", o.Code, o.says())
	}
	out, err := ParsePhysical([]byte(o.Stdout))
	for _, g := range groups {
		if err == nil && len(out[g]) == 0 {
			err = fmt.Errorf("%w %s — %s", ErrNotVisible, g, WayToSee(g))
		}
	}
	return out, err
}

func (c Commands) readOnly() []string {
	if c.ReadOnly {
		return []string{"--readonly"}
	}
	return nil
}
