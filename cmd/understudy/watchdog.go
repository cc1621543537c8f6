package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/reconcile/act/watchdog"
	"understudy/reconcile/loop"
)

// deadlineFile keeps the watchdog's deadline from one start of a boot to the next. It
// lies beside the socket, where files are gone after a boot.
const deadlineFile = "watchdog"

// boards open watchdogs that are no devices of the kernel, by their names. The program
// has none: a lab of namespaces has no watchdog, and its tests put their own here.
var boards map[string]func(path string) (watchdog.Device, error)

// openWatchdog makes the watchdog that the file declares, nil if it declares none.
func (c *common) openWatchdog(cfg *config.Config, boot string, st store, last *lastWords, log *slog.Logger) *watchdog.Watchdog {
	if cfg.Watchdog.Mode == config.WatchdogOff {
		return nil
	}
	return watchdog.New(watchdog.Options{
		Open:   boards[cfg.Watchdog.Device],
		Config: cfg.Watchdog, Lease: st.keeper.Lease, BootID: boot, Log: log,
		File: filepath.Join(filepath.Dir(c.socket), deadlineFile), Warn: last.say,
	})
}

// guardedBy is the watchdog bound of the file as long as the watchdog is armed and
// proven, zero otherwise.
func guardedBy(cfg *config.Config, dog func() *watchdog.Watchdog) func() time.Duration {
	bound := cfg.WatchdogBound()
	return func() time.Duration {
		if w := dog(); w != nil && w.Guards() {
			return bound
		}
		return 0
	}
}

// watchdogTick is how often the deadline follows the lease.
func watchdogTick(cfg *config.Config) time.Duration {
	return max(20*time.Millisecond, min(cfg.Lease.Renew/2, cfg.Watchdog.Release/4, 500*time.Millisecond))
}

// watchdogStatus is nil if there is no watchdog.
func watchdogStatus(w *watchdog.Watchdog) *api.WatchdogStatus {
	if w == nil {
		return nil
	}
	s := w.Status()
	out := &api.WatchdogStatus{
		Mode: s.Mode, Device: s.Device, Identity: s.Identity, Fallback: s.Fallback, TimeoutMS: s.Timeout.Milliseconds(),
		Armed: s.Armed, Ready: s.Ready, NoWayOut: s.NoWayOut, Holds: s.Held, FedForMS: s.Until.Milliseconds(),
		LeftMS: s.Left.Milliseconds(), Late: s.Late, WasReset: s.Reset, Error: s.Why,
	}
	if s.Until < 0 {
		out.FedForMS = -1
	}
	return out
}

// watchdogLine is the watchdog for a person.
func watchdogLine(s *api.WatchdogStatus, p palette) string {
	what := fmt.Sprintf("%s (%s), timeout %s", s.Device, s.Identity, time.Duration(s.TimeoutMS)*time.Millisecond)
	if s.Fallback != "" {
		what = "weaker fallback " + s.Fallback + ", which needs a kernel and a program that run"
	}
	fed := "nothing is held, and it is fed for good"
	if s.FedForMS >= 0 {
		fed = fmt.Sprintf("fed for %.1f s more if the lease ends now", float64(s.FedForMS)/1000)
	}
	if s.FedForMS == 0 {
		fed = p.bad + "not fed any more: it resets this host" + p.off
	}
	line := fmt.Sprintf("watchdog %s · %sarmed%s · %s", what, p.good, p.off, fed)
	switch {
	case !s.Armed:
		line = fmt.Sprintf("%swatchdog (%s): %s%s", p.bad, s.Mode, s.Error, p.off)
	case s.Error != "":
		line = fmt.Sprintf("watchdog %s · %s%s%s", what, p.bad, s.Error, p.off)
	}
	if s.NoWayOut {
		line += " · nowayout: it cannot be switched off"
	}
	if s.WasReset {
		line += " · it has reset this host before this boot"
	}
	return line
}

// guarding is the watchdog as the loop asks it, a nil interface if there is none.
func guarding(w *watchdog.Watchdog) loop.Guard {
	if w == nil {
		return nil
	}
	return w
}
