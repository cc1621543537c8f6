package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"understudy/config"
	"understudy/observers/lvm"
	"understudy/observers/scsi"
	"understudy/reconcile"
	"understudy/reconcile/prepare"
)

// auditDisks looks at the disks below all shared storage of the file, where a group
// requires that they are reserved.
func auditDisks(ctx context.Context, cfg *config.Config) map[string]reconcile.Seen[[]prepare.DiskFact] {
	ctx, cancel := context.WithTimeout(ctx, auditLimit)
	defer cancel()
	out := map[string]reconcile.Seen[[]prepare.DiskFact]{}
	names := lvm.Names(cfg)
	for _, object := range prepare.AskDisks(cfg) {
		began := time.Now()
		done := make(chan reconcile.Seen[[]prepare.DiskFact], 1)
		go func() { // a disk that hangs keeps it
			disks, err := auditDisk(ctx, object, slices.Contains(names, object))
			if err != nil {
				done <- reconcile.Unread[[]prepare.DiskFact](err, began)
				return
			}
			done <- reconcile.Read(disks, began)
		}()
		select {
		case out[object] = <-done:
		case <-ctx.Done():
			out[object] = reconcile.Unread[[]prepare.DiskFact](fmt.Errorf("no answer within %s", auditLimit), began)
		}
	}
	return out
}

func auditDisk(ctx context.Context, object string, volume bool) ([]prepare.DiskFact, error) {
	devices := []string{object}
	if volume {
		physical, err := lvm.Commands{Run: lvm.Exec(), ReadOnly: true}.Physical(ctx, object)
		if err != nil {
			return nil, err
		}
		devices = physical[object]
	}
	units, err := scsi.Below(scsi.System{}, devices...)
	if err != nil {
		return nil, err
	}
	var out []prepare.DiskFact
	for _, u := range units {
		f := prepare.DiskFact{ID: u.ID, Name: u.Name(), Paths: len(u.Paths), Partly: u.Partly}
		d, err := scsi.Open(u.Up[0])
		if err != nil {
			return nil, err
		}
		k, err := d.Keys()
		if err != nil {
			d.Close()
			return nil, fmt.Errorf("%s cannot be reserved: %w", u.Name(), err)
		}
		f.Keys = k.Keys
		// A disk need not know this command, and says nothing then.
		if c, err := d.Capabilities(); err == nil {
			f.Says, f.Persist = c.Known, c.Persist
			f.Able = c.RegistrantsOnly && len(u.Paths) > 1 || c.WriteExclusive && len(u.Paths) == 1
		}
		d.Close()
		out = append(out, f)
	}
	return out, nil
}
