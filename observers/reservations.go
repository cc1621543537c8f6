package observers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"understudy/config"
	"understudy/observers/scsi"
	"understudy/reconcile"
)

// reservations reads those of all disks of the groups that require them. What is known
// of volume groups must be in the snapshot already: their disks are found by it.
func (h *Host) reservations(ctx context.Context, cfg *config.Config, s *reconcile.Snapshot) reconcile.Seen[[]reconcile.Reservation] {
	at := time.Now()
	return reconcile.Read(h.reserved.Look(ctx, reservedOf(cfg, s)), at)
}

// reservedVolumes names the volume groups whose disks are reserved.
func reservedVolumes(cfg *config.Config) (names []string) {
	for i := range cfg.Groups {
		_, volumes := reconcile.ReservedObjects(&cfg.Groups[i])
		names = append(names, volumes...)
	}
	return names
}

// reservedOf are the devices and volume groups whose disks are reserved.
func reservedOf(cfg *config.Config, s *reconcile.Snapshot) (asks []scsi.Ask) {
	for i := range cfg.Groups {
		devices, volumes := reconcile.ReservedObjects(&cfg.Groups[i])
		for _, d := range devices {
			asks = append(asks, scsi.Ask{Object: d, Devices: []string{d}})
		}
		for _, v := range volumes {
			a := scsi.Ask{Object: v}
			at := slices.IndexFunc(s.Volumes.Value, func(st reconcile.VolumeState) bool { return st.Name == v })
			switch {
			case !s.Volumes.OK():
				a.Why = s.Volumes.Why().Error()
			case at >= 0 && len(s.Volumes.Value[at].Physical) > 0:
				a.Devices = s.Volumes.Value[at].Physical
			case at >= 0 && s.Volumes.Value[at].Why != "":
				a.Why = s.Volumes.Value[at].Why
			default:
				a.Why = fmt.Sprintf("the physical volumes of %s are not known yet", v)
			}
			asks = append(asks, a)
		}
	}
	return asks
}
