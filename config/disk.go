package config

import "time"

// MaxDiskNodes is how many nodes have slots on a shared disk.
const MaxDiskNodes = 8

// disk reads the keys of the store on a shared disk.
func (b *builder) disk(f *fileLease, l *Lease) {
	for _, k := range []struct {
		set  bool
		line int
		key  string
	}{
		{f.Endpoints.set, f.Endpoints.line, "endpoints"}, {f.TLS.set, f.TLS.line, "tls"}, {f.Tick.set, f.Tick.line, "tick"},
		{f.Election.set, f.Election.line, "election"}, {f.PeerPort.set, f.PeerPort.line, "peer_port"},
		{b.file.Witness.set, b.file.Witness.line, "witness"},
	} {
		b.notFor(k.set, k.line, k.key, l.Store)
	}
	if b.required(f.Device.set, max(f.line, f.Store.line), "store disk", "device", `"/dev/disk/by-id/scsi-360000000000000001-part1"`) && f.Device.ok() {
		b.cleanPath(f.Device.v, f.Device.line, "device")
		l.Device = f.Device.v
	}
	if n := len(b.file.Node); n > MaxDiskNodes {
		b.add(ruleDiskNodes, b.file.Node[MaxDiskNodes].line, `take nodes out, or write store = "embedded"`,
			"%d nodes share a disk that has slots for %d", n, MaxDiskNodes)
	}
}

// diskTimes checks the times of a takeover from a silent node without a fence: its
// lease is seen to have ended a ttl after its last renewal, at the next look, and
// then one request ends it, one reads and one claims.
func (b *builder) diskTimes(f *fileLease, l *Lease, line int) {
	if f.Renew.bad || f.Request.bad {
		return
	}
	if most, have := l.TTL/5, l.Poll()+l.TTL/500+diskRequests*diskRequest; have > most {
		b.add(ruleDiskTakeover, line, "raise ttl, or lower renew",
			"a look every %s, clocks %s apart and %d requests of %s = %s are more than ttl %s / 5 = %s",
			short(l.Poll()), short(l.TTL/500), diskRequests, short(diskRequest), short(have), short(l.TTL), short(most))
	}
}

// diskRequests lie between the end of a lease and a new claim: it is ended, read
// and claimed. diskRequest is what one takes on a disk that is well.
const (
	diskRequests = 3
	diskRequest  = 50 * time.Millisecond
)
