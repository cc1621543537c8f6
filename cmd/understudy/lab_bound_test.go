//go:build linux

package main

import (
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
	"understudy/reconcile/act/watchdog"
)

func init() {
	boards = map[string]func(string) (watchdog.Device, error){lab.BoardDevice: func(path string) (watchdog.Device, error) {
		b, err := lab.OpenBoard(path)
		return boardDevice{b}, err
	}}
}

// boardDevice is the board of a lab's host, as the program has a watchdog of the kernel.
type boardDevice struct{ lab.Board }

func (boardDevice) Support() (watchdog.Support, error) {
	return watchdog.Support{Identity: "board of the lab", SetTimeout: true, MagicClose: true}, nil
}

func (d boardDevice) Timeout() (time.Duration, error) {
	timeout, _, err := d.Counts()
	return timeout, err
}

func (boardDevice) SetPretimeout(time.Duration) error { return watchdog.ErrNotSupported }

func (d boardDevice) Left() (time.Duration, error) {
	_, left, err := d.Counts()
	return left, err
}

func (d boardDevice) Feed() watchdog.Errno {
	if err := d.Board.Feed(); err != nil {
		return watchdog.Errno(syscall.EIO)
	}
	return 0
}

func (d boardDevice) Close(disarm bool) error {
	if !disarm {
		return nil
	}
	return d.Disarm()
}

// measureBound is for the figures; the tests take what is shortest and without it.
var measureBound = flag.Duration("bound", 0, "takeovers by the watchdog's bound: measure them, power cut included, with this ttl of the examples, 10s or 20s")

// boundTimes are the keys of the examples in the reference (config/reference.toml), by
// their ttl.
var boundTimes = map[time.Duration]string{
	10 * time.Second: "ttl = \"10s\"\nrenew = \"500ms\"\nrequest = \"500ms\"\nmargin = \"4500ms\"\n[watchdog]\ntimeout = \"3s\"\nrelease = \"500ms\"",
	20 * time.Second: "ttl = \"20s\"\nrenew = \"1s\"\nrequest = \"1s\"\nmargin = \"9s\"\n[watchdog]\ntimeout = \"6s\"\nrelease = \"2s\"",
}

// diskAlone is a lab of two nodes with nothing but the shared disks, and watchdogs on
// their boards: no witness, no fence.
func diskAlone(times string) lab.Options {
	fence := regexp.MustCompile(`(?m)^fence .*\n`)
	return lab.Options{
		Hosts: slices.DeleteFunc(lab.DefaultHosts(), func(h lab.Host) bool { return h.Name == lab.Witness }),
		Disks: 2, Timers: lab.TunedTimers,
		Config: func(o lab.Options) string { return fence.ReplaceAllString(lab.DefaultConfig(o), "") },
		Extra: fmt.Sprintf("\n[lease]\nstore = \"disk\"\ndevice = %q\n%s\nmode = \"required\"\ndevice = %q\n",
			leaseDisk, times, lab.BoardDevice),
	}
}

// Two nodes and nothing but the shared disk, no fence and no person. The owner freezes,
// with its application, and its board ends it before the other takes over. It loses its
// way to the store's disk alone, lets go and says so over the networks. Each time the
// other takes over by the watchdog's bound, not before a ttl after the last renewal, and
// with nothing on two hosts at any moment.
func TestTakeoverByTheWatchdogBound(t *testing.T) {
	ttl := max(*measureBound, 10*time.Second)
	times, ok := boundTimes[ttl]
	if !ok {
		t.Fatalf("no example has a ttl of %s", ttl)
	}
	b := newIdle(t, diskAlone(times))
	b.understudy(lab.Alpha, "disk", "init", "--force")
	b.serving(lab.Alpha)
	b.ask()
	b.ready(lab.Beta)
	left, err := time.ParseDuration(regexp.MustCompile(`margin = "(.*)"`).FindStringSubmatch(times)[1])
	b.must(err)
	left = ttl - left // of a lease that has just been renewed
	strike := func(what string, fault func()) {
		t.Helper()
		before, err := b.status(lab.Alpha)
		b.must(err)
		mark, began := b.client.Mark(), time.Now()
		renewed := before.At.Add(time.Duration(before.Lease.LeftMS)*time.Millisecond - left)
		fault()
		g := b.serving(lab.Beta)
		if g.Claim.Evidence != "watchdog bound" {
			t.Errorf("%s: claim %+v", what, g.Claim)
		}
		// A wall clock serves: it is one and the same here.
		if d := g.Claim.At.Sub(renewed); d < ttl {
			t.Errorf("%s: claimed %s after the last renewal that was seen, and the ttl is %s", what, d, ttl)
		}
		b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
		gap := b.outage(mark)
		t.Logf("%s: claimed %s after it, %.2f of ttl %s; the client was without an answer for %s, %.2f of it", what,
			g.Claim.At.Sub(began).Round(10*time.Millisecond), g.Claim.At.Sub(began).Seconds()/ttl.Seconds(), ttl,
			gap.Round(10*time.Millisecond), gap.Seconds()/ttl.Seconds())
	}
	home := func() {
		t.Helper()
		b.must(b.Start(b.ctx, lab.Alpha))
		b.serving(lab.Alpha)
		b.ready(lab.Beta)
	}

	if *measureBound > 0 {
		strike("power cut", func() { b.must(b.Crash(b.ctx, lab.Alpha)) })
		home()
	}

	strike("frozen", func() { b.must(b.Freeze(b.ctx, lab.Alpha)) })
	events, err := b.Events(b.ctx)
	b.must(err)
	if !slices.ContainsFunc(events, func(e lab.Event) bool {
		return e.Host == lab.Alpha && strings.Contains(e.What, "watchdog of its board")
	}) {
		t.Error("the board did not end the host that was frozen")
	}
	home()

	strike("way to the disk lost", func() { b.must(b.Unplug(b.ctx, lab.Alpha, 1)) })
	b.until(lab.Alpha, "holding nothing, and alive", func(g api.GroupStatus) bool { return g.Role == "rejoining" && g.Phase != "serving" })
	b.must(b.Plug(b.ctx, lab.Alpha, 1))
	b.serving(lab.Alpha) // its home
}
