package config

import (
	"fmt"
	"time"
)

// WatchdogMode says what a host does without a watchdog.
type WatchdogMode string

// The modes.
const (
	WatchdogOff      WatchdogMode = "off"      // none is used
	WatchdogOptional WatchdogMode = "optional" // used if there is one; its absence is reported
	WatchdogRequired WatchdogMode = "required" // no step on shared storage begins unless it is armed and proven
)

// WatchdogFallback is what resets the host where an optional watchdog has no device.
// It is weaker: a kernel that hangs, or a process that is stopped, resets nothing.
type WatchdogFallback string

// The fallbacks.
const (
	FallbackNone   WatchdogFallback = "none"
	FallbackSysrq  WatchdogFallback = "sysrq"  // b into /proc/sysrq-trigger (kernel: admin-guide/sysrq)
	FallbackReboot WatchdogFallback = "reboot" // reboot(2), RESTART
)

// WatchdogLeave says what becomes of an armed watchdog when understudy leaves
// and the service goes on.
type WatchdogLeave string

// What may be declared.
const (
	LeaveArmed    WatchdogLeave = "armed"  // the next start must come within the timeout, or the host is reset
	LeaveDisarmed WatchdogLeave = "disarm" // the protection is off until the next start
)

// WatchdogAuto as the device of a watchdog is the first one that this host has,
// those of the hardware before softdog.
const WatchdogAuto = "auto"

// Watchdog is the device that resets this host when it holds something and can
// not prove that it may. The other fields are zero if Mode is off.
type Watchdog struct {
	Mode   WatchdogMode
	Device string // a path, or WatchdogAuto
	// Timeout is how long after the last feeding the device resets the host; whole
	// seconds, since the kernel counts in them (WDIOC_SETTIMEOUT).
	Timeout time.Duration
	// Pretimeout is how long before that the kernel is told; zero: it is not.
	Pretimeout time.Duration
	// Release is how long feeding goes on after the node's own lease deadline: what
	// it may take to let go.
	Release  time.Duration
	Fallback WatchdogFallback
	OnLeave  WatchdogLeave
}

// WatchdogBound is how long after a node's last renewal, seen from wherever it was
// seen, that node's host has certainly been reset, if it still held something:
// its own deadline, the time it had to let go, the device's timeout, and a second for
// a feeding that came too late and was cut to that. Clocks of
// two hosts that drift apart are the caller's to add. Zero: there is no such bound,
// since no watchdog is required.
func (c *Config) WatchdogBound() time.Duration {
	if c.Watchdog.Mode != WatchdogRequired {
		return 0
	}
	return c.Lease.TTL - c.Lease.Margin + c.Watchdog.resets()
}

// resets is how long after its own lease deadline a host is reset at the latest.
func (w *Watchdog) resets() time.Duration { return w.Release + w.Timeout + lateFeeding }

// lateFeeding is what a feeding that was held up on its way adds at most: the shortest
// count of a device.
const lateFeeding = time.Second

func (b *builder) watchdog() {
	f, w := &b.file.Watchdog, &b.config.Watchdog
	onDisk := b.config.Lease.Store == StoreDisk
	release := DefaultWatchdogRelease
	if onDisk {
		release = DefaultDiskRelease
	}
	if b.isExternal() && !b.file.Lease.Store.bad {
		b.notFor(f.set, f.line, "watchdog", StoreExternal)
		w.Mode = WatchdogOff
		return
	}
	w.Mode = word(b, &f.Mode, WatchdogOff, "watchdog mode", WatchdogOff, WatchdogOptional, WatchdogRequired)
	w.Device = f.Device.or(WatchdogAuto)
	if w.Device != WatchdogAuto {
		b.cleanPath(w.Device, f.Device.line, "watchdog device")
	}
	w.Timeout = b.within(&f.Timeout, DefaultWatchdogTimeout, rangeWatchdog, "watchdog timeout")
	w.Pretimeout = b.within(&f.Pretimeout, 0, rangePretimeout, "watchdog pretimeout")
	w.Release = b.within(&f.Release, release, rangeRelease, "watchdog release")
	w.Fallback = word(b, &f.Fallback, FallbackNone, "watchdog fallback", FallbackNone, FallbackSysrq, FallbackReboot)
	w.OnLeave = word(b, &f.OnLeave, LeaveArmed, "watchdog on_leave", LeaveArmed, LeaveDisarmed)
	if !f.Mode.bad {
		b.watchdogModes(f, w)
	}
	b.watchdogTimes(f, w, onDisk)
	if w.Mode == WatchdogOff {
		*w = Watchdog{Mode: WatchdogOff}
	}
}

// watchdogModes checks which modes go with what.
func (b *builder) watchdogModes(f *fileWatchdog, w *Watchdog) {
	if w.Mode == WatchdogRequired && w.Fallback != FallbackNone && !f.Fallback.bad {
		b.add(ruleWatchdogFallback, f.Fallback.line, `take fallback out, or write mode = "optional"`,
			"watchdog fallback %q resets nothing when the kernel hangs, and a watchdog is required", w.Fallback)
	}
	if w.Mode == WatchdogOff && (f.Device.set || f.Timeout.set || f.Pretimeout.set || f.Release.set || f.Fallback.set || f.OnLeave.set) {
		b.add(ruleWatchdogOff, max(f.line, f.Mode.line), `write mode = "required" or "optional", or take the other keys out`, "there is a [watchdog], and its mode is off")
	}
}

// watchdogTimes checks how the times of the watchdog and of the lease relate.
func (b *builder) watchdogTimes(f *fileWatchdog, w *Watchdog, onDisk bool) {
	if w.Timeout%time.Second != 0 {
		b.add(ruleWatchdogSeconds, f.Timeout.line, fmt.Sprintf("write timeout = %q", short(ceilSecond(w.Timeout))), "watchdog timeout is %s", short(w.Timeout))
	}
	if w.Pretimeout%time.Second != 0 {
		b.add(ruleWatchdogSeconds, f.Pretimeout.line, fmt.Sprintf("write pretimeout = %q", short(ceilSecond(w.Pretimeout))), "watchdog pretimeout is %s", short(w.Pretimeout))
	}
	if w.Pretimeout >= w.Timeout && !f.Timeout.bad && !f.Pretimeout.bad {
		b.add(ruleWatchdogSeconds, f.Pretimeout.line, "write a shorter pretimeout", "watchdog pretimeout %s is not less than timeout %s", short(w.Pretimeout), short(w.Timeout))
	}
	if w.Mode == WatchdogOff || f.Timeout.bad || f.Release.bad || f.Mode.bad {
		return
	}
	if onDisk && w.Mode == WatchdogRequired {
		b.watchdogOnDisk(f, w)
	}
}

// watchdogStops checks what applications are given to stop against what the
// watchdog leaves them. On the disk store the bound comes first.
func (b *builder) watchdogStops() {
	w := &b.config.Watchdog
	if w.Mode == WatchdogOff || w.Mode == "" || b.config.Lease.Store == StoreDisk || b.file.Watchdog.Release.bad {
		return
	}
	for i := range b.config.Groups {
		g := &b.config.Groups[i]
		var stops time.Duration
		for _, a := range g.Applications {
			stops += a.StopLimit
		}
		if stops > w.Release {
			b.add(ruleWatchdogStops, max(b.file.Watchdog.Release.line, b.file.Watchdog.line), fmt.Sprintf("write release = %q or more, or lower the stop limits", short(stops)),
				"group %s may take %s to stop, and the watchdog resets the host %s + timeout %s after its lease", g.Name, short(stops), short(w.Release), short(w.Timeout))
		}
	}
}
