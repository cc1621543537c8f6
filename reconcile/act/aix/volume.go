package aix

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	look "understudy/observers/aix"
)

// Activate varies a volume group on. Before that, this host learns what another
// host has changed in it (importvg -L, which its reference allows only while the
// group is off), since AIX keeps a copy of the metadata on every host. varyonvg
// fails while another host has the disks reserved, and it is never told to break a
// reservation.
func (h *Host) Activate(ctx context.Context, name string) error {
	fail := func(err error) error { return fmt.Errorf("cannot activate volume group %s: %w", name, err) }
	if name == "" || strings.HasPrefix(name, "-") {
		return fail(errors.New("it has no name"))
	}
	on, err := h.See.VariedOn(ctx)
	if err != nil {
		return fail(err)
	}
	if !slices.Contains(on, name) {
		disk, err := h.diskOf(ctx, name)
		if err != nil {
			return fail(err)
		}
		if err := h.run(ctx, "importvg", "-L", name, disk); err != nil {
			return fail(fmt.Errorf("what other hosts changed in it cannot be learnt: %w — is it varied on elsewhere?", err))
		}
		if err := h.run(ctx, "varyonvg", name); err != nil {
			return fail(fmt.Errorf("%w — is it varied on elsewhere, and are its disks here?", err))
		}
		if on, err = h.See.VariedOn(ctx); err != nil {
			return fail(err)
		}
		if !slices.Contains(on, name) {
			return fail(errors.New("varyonvg said yes, but lsvg -o does not show it"))
		}
	}
	g, err := h.See.VolumeGroup(ctx, name)
	if err != nil {
		return fail(err)
	}
	if !g.Active() {
		return fail(fmt.Errorf("it is varied on, but %s, %s — varyoffvg %s", g.State, g.Permission, name))
	}
	if g.ActivePVs < g.PVs {
		h.Log.WarnContext(ctx, "volume group is on without some of its disks", "volume_group", name, "here", g.ActivePVs, "of", g.PVs)
	}
	h.Log.InfoContext(ctx, "volume group varied on", "volume_group", name)
	return nil
}

// diskOf is a physical volume of a group that this host knows.
func (h *Host) diskOf(ctx context.Context, name string) (string, error) {
	known, err := h.See.Known(ctx)
	if err != nil {
		return "", err
	}
	if !slices.Contains(known, name) {
		return "", fmt.Errorf("this host does not know it — importvg -y %s hdiskN, then varyoffvg %s and chvg -a n", name, name)
	}
	disks, err := h.See.PhysicalVolumes(ctx)
	if err != nil {
		return "", err
	}
	for _, d := range disks {
		if d.Group == name {
			return d.Name, nil
		}
	}
	return "", errors.New("no physical volume of it is here — cfgmgr, and look at the paths to the storage")
}

// Deactivate varies a volume group off.
func (h *Host) Deactivate(ctx context.Context, name string) error {
	fail := func(err error) error { return fmt.Errorf("cannot deactivate volume group %s: %w", name, err) }
	on, err := h.See.VariedOn(ctx)
	if err != nil {
		return fail(err)
	}
	if !slices.Contains(on, name) {
		return nil
	}
	text, err := h.See.Run(ctx, "lsvg", "-l", name)
	if err != nil {
		return fail(err)
	}
	volumes, err := look.ParseLogicalVolumes(text)
	if err != nil {
		return fail(err)
	}
	var open []string
	for _, v := range volumes {
		switch {
		case v.Open && v.Point != "":
			open = append(open, v.Name+" ("+v.Point+")")
		case v.Open:
			open = append(open, v.Name)
		}
	}
	if len(open) > 0 {
		return fail(fmt.Errorf("in use: %s — umount first, or end who has the device open", strings.Join(open, ", ")))
	}
	if err := h.run(ctx, "varyoffvg", name); err != nil {
		return fail(err)
	}
	if on, err = h.See.VariedOn(ctx); err != nil {
		return fail(err)
	}
	if slices.Contains(on, name) {
		return fail(errors.New("varyoffvg said yes, but lsvg -o still shows it"))
	}
	h.Log.InfoContext(ctx, "volume group varied off", "volume_group", name)
	return nil
}
