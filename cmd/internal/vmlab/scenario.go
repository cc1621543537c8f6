//go:build linux

package vmlab

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Scenario is one thing that is shown on real machines.
type Scenario struct {
	Name  string
	Short string // what it shows
	Lab   Options
	Run   func(context.Context, *Stage) error
}

// threeGuests is the lab of most scenarios: n1 and n2 share a disk, n3 is the witness.
var threeGuests = Options{Guests: 3, Disks: 1, LocalMB: 256}

// Scenarios are all that there are, in the order in which they are run. Each has a
// file of its own.
var Scenarios = []Scenario{
	{"powercut", "the owner loses its power, then a node that takes over, then all", threeGuests, powercutScenario},
	{"panic", "the owner's kernel panics, and hangs or boots again", threeGuests, panicScenario},
	{"pause", "the owner stands still past its lease and wakes, fenced or not", threeGuests, pauseScenario},
	{"link", "wires are cut: one network, one direction, between two, all of one machine", threeGuests, linkScenario},
	{"lie", "a fence device says off of a machine that runs", threeGuests, lieScenario},
	{"io", "the owner's path to the disk hangs", threeGuests, ioScenario},
	{"systemd", "hosts that systemd shuts down hand over first, and boot by themselves", systemdLab, systemdScenario},
	{"watchdog", "an owner whose program stops is reset by the watchdog of its board", threeGuests, watchdogScenario},
	{"disk", "two nodes and nothing but the shared disk: a takeover by the watchdog's bound, without a fence or a person", Options{Guests: 3, Disks: 2, LocalMB: 256}, diskScenario},
	{"lvm", "a volume group of LVM goes from host to host by its system id, and only with evidence", threeGuests, lvmScenario},
	{"scsi", "a disk that is reserved for its owner refuses the writes of one that wakes after it was taken for dead", boxGuests, scsiScenario},
}

// patience is how long anything is waited for. Guests run under emulation, on a
// machine that may be busy.
const patience = 10 * time.Minute

// Stage is a lab with a scenario on it, and what it has shown.
type Stage struct {
	*Lab
	out    io.Writer
	proved int
	play   *play // nil: the scenario has not begun one
}

// ok counts something as shown that is proved without a command in a guest.
func (s *Stage) ok(format string, args ...any) {
	s.proved++
	fmt.Fprintf(s.out, "%3d ok    %s\n", s.proved, fmt.Sprintf(format, args...))
}

// title begins a part of the scenario.
func (s *Stage) title(format string, args ...any) {
	fmt.Fprintf(s.out, "\n%6.1f s  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// since is how long the lab has been up, in seconds.
func (s *Stage) since() float64 { return time.Since(s.began).Seconds() }

// note prints what a command said, below the title.
func (s *Stage) note(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n ")) {
		fmt.Fprintf(s.out, "          | %s\n", strings.TrimRight(strings.ReplaceAll(line, "\x00", ""), "\n")) // a power cut leaves zeros in logs
	}
}

// must runs a line of shell in a guest and fails unless it ends well.
func (s *Stage) must(ctx context.Context, node, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, code, err := s.Exec(ctx, node, line)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s: %s ended with exit status %d: %s", node, line, code, strings.TrimSpace(out))
	}
	return out, err
}

// claim is something that a command in a guest proves by what it prints, or fails
// to prove.
type claim struct {
	what string // what is proved, for people
	node string
	line string // of shell
	want string // stands in what it prints; "" for nothing printed at all
}

// prove runs the command of each claim, prints what it said, and fails at the first
// that does not show what is claimed.
func (s *Stage) prove(ctx context.Context, claims ...claim) error {
	for _, c := range claims {
		limited, cancel := context.WithTimeout(ctx, patience)
		out, _, err := s.Exec(limited, c.node, c.line)
		cancel()
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "          %s# %s\n", c.node, c.line)
		s.note(out)
		if !c.holds(out) {
			return fmt.Errorf("not shown: %s: %q is not in %q", c.what, c.want, out)
		}
		s.ok("%s", c.what)
	}
	return nil
}

func (c claim) holds(out string) bool {
	if c.want == "" {
		return strings.TrimSpace(out) == ""
	}
	return strings.Contains(out, c.want)
}

// await repeats the command of a claim until it holds, and proves it then.
func (s *Stage) await(ctx context.Context, c claim) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		out, _, err := s.Exec(limited, c.node, c.line)
		if err == nil && c.holds(out) {
			return s.prove(ctx, c)
		}
		select {
		case <-limited.Done():
			return fmt.Errorf("not seen in time: %s: %s# %s printed %q, want %q (%w)", c.what, c.node, c.line, out, c.want, context.Cause(limited))
		case <-time.After(time.Second):
		}
	}
}

// event waits for something that happens to a guest.
func (s *Stage) event(ctx context.Context, after int, node, name string) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e, err := s.Wait(limited, after, node, name)
	if err == nil {
		fmt.Fprintf(s.out, "          lab: %s of %s at %.1f s (%s)\n", e.Name, e.Node, e.At.Seconds(), e.Note)
	}
	return err
}

// isolate cuts all wires between a guest and the others, or mends them. Every
// carrier stays up.
func (s *Stage) isolate(node string, cut bool) error {
	for _, n := range s.nodes {
		for i := range networks {
			if n.name == node {
				continue
			}
			if err := s.Wire(node, n.name, i, Fault{Cut: cut}); err != nil {
				return err
			}
			if err := s.Wire(n.name, node, i, Fault{Cut: cut}); err != nil {
				return err
			}
		}
	}
	return nil
}

// logs prints understudy's status and the last of its own log on every guest that still
// answers.
func (s *Stage) logs(ctx context.Context) {
	for _, n := range s.nodes {
		limited, cancel := context.WithTimeout(ctx, 30*time.Second)
		if out, _, err := s.Exec(limited, n.name, "timeout 10 understudy status; tail -n 40 /var/lib/understudy/run.log"); err == nil {
			fmt.Fprintf(s.out, "\n          status and log of %s:\n", n.name)
			s.note(out)
		}
		cancel()
	}
}
