package act

import (
	"context"
	"fmt"
	"strings"
)

// activateLVM switches a volume group on. Its tables are loaded from the
// metadata on disk, which every LVM 2.03 command reads anew; volumes that were
// active already get theirs loaded again, since another host may have changed
// them. The kernel where this was written has no device mapper: the commands and
// the reading of their reports were tested with recorded reports and with a stand-in
// for the programs, the activation itself was not run.
func (h *Host) activateLVM(ctx context.Context, name string) error {
	fail := func(err error) error { return fmt.Errorf("cannot activate volume group %s: %w", name, err) }
	vg, err := h.volumeGroup(ctx, name)
	if err != nil {
		return fail(err)
	}
	if err := vg.usable(); err != nil {
		return fail(err)
	}
	before, err := h.logicalVolumes(ctx, name)
	if err != nil {
		return fail(err)
	}
	if err := h.lvm(ctx, "vgchange", "--activate", "y", name); err != nil {
		return fail(err)
	}
	for _, v := range before {
		if v.active() {
			if err := h.lvm(ctx, "vgchange", "--refresh", name); err != nil {
				return fail(err)
			}
			break
		}
	}
	after, err := h.logicalVolumes(ctx, name)
	if err != nil {
		return fail(err)
	}
	for _, v := range after {
		if v.private() {
			continue
		}
		if !v.active() {
			return fail(fmt.Errorf("logical volume %s is not active afterwards — vgchange -ay -v %s says why", v.Name, name))
		}
		if v.Path != "" {
			if err := h.dropBuffers(ctx, v.Path); err != nil {
				return fail(err)
			}
		}
	}
	return nil
}

// deactivateLVM switches a volume group off. What is said at activateLVM about
// tests holds here, too.
func (h *Host) deactivateLVM(ctx context.Context, name string) error {
	fail := func(err error) error { return fmt.Errorf("cannot deactivate volume group %s: %w", name, err) }
	volumes, err := h.logicalVolumes(ctx, name)
	if err != nil {
		return fail(err)
	}
	for _, v := range volumes {
		if v.active() && v.Path != "" {
			points, err := mountsOf(v.Path)
			if err != nil {
				return fail(err)
			}
			if len(points) > 0 {
				return fail(fmt.Errorf("%s is mounted at %s — umount it first", v.Path, points[0]))
			}
		}
	}
	if err := h.lvm(ctx, "vgchange", "--activate", "n", name); err != nil {
		return fail(err)
	}
	if volumes, err = h.logicalVolumes(ctx, name); err != nil {
		return fail(err)
	}
	for _, v := range volumes {
		if v.active() {
			return fail(fmt.Errorf("logical volume %s is still active (%s) — lsof %s, dmsetup info", v.Name, strings.TrimSpace(v.Active+" "+v.Open), v.Path))
		}
	}
	return nil
}

func (h *Host) volumeGroup(ctx context.Context, name string) (volumeGroup, error) {
	o, err := lvmOutput(ctx, "vgs", "--reportformat", "json", "-o", "vg_name,vg_missing_pv_count,vg_exported", name)
	if err != nil {
		return volumeGroup{}, err
	}
	return parseVG([]byte(o), name)
}

func (h *Host) logicalVolumes(ctx context.Context, name string) ([]logicalVolume, error) {
	o, err := lvmOutput(ctx, "lvs", "--reportformat", "json", "--all", "-o", "lv_name,lv_path,lv_active,lv_device_open,lv_role", name)
	if err != nil {
		return nil, err
	}
	return parseLVs([]byte(o))
}

func (h *Host) lvm(ctx context.Context, argv ...string) error {
	_, err := lvmOutput(ctx, argv...)
	return err
}

func lvmOutput(ctx context.Context, argv ...string) (string, error) {
	o, err := run(ctx, command{argv: argv})
	if err != nil {
		return "", err
	}
	if o.code != 0 {
		return "", fmt.Errorf("%s ended with exit status %d: %s", strings.Join(argv[:1], " "), o.code, o.says())
	}
	return o.stdout, nil
}
