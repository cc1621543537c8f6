package main

import (
	"understudy/config"
	"understudy/reconcile/lease/disk"
)

// openDisk makes the client of the store on the shared disk, which joins it as soon
// as the disk answers.
func openDisk(cfg *config.Config, o ownership) store {
	l := &cfg.Lease
	c := disk.NewClient(func() (disk.Device, error) { return disk.OpenDevice(l.Device) }, disk.Options{
		Cluster: cfg.Cluster, Key: o.keys[0], Former: o.keys[1:], Node: o.node, Boot: o.boot, Log: o.log,
		TTL: l.TTL, Limit: l.Request, Poll: l.Poll(), Settle: l.Request, WatchdogBound: cfg.WatchdogBound(), Guarded: o.guarded,
	})
	return store{store: c, run: c.Run}
}
