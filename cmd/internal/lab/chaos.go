//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// ChaosOptions says what [Chaos] does and how it tells it.
type ChaosOptions struct {
	For   time.Duration // of faults; 0 means half an hour
	Seed  uint64        // of the schedule; 0 draws one
	Hosts string        // how many nodes, "3" or "2..4"; "" is "2..4"
	Store string        // embedded or disk; "" is embedded
	JSON  bool          // one document at the end instead of a table
	Keep  string        // folder for the logs of a run that failed; "" is made below /var/tmp

	low, high int
}

// stintFor is how long one cluster lives: a run of half an hour sees each number of
// nodes several times.
const stintFor = 4 * time.Minute

func (c ChaosOptions) withDefaults() (ChaosOptions, error) {
	if c.For == 0 {
		c.For = 30 * time.Minute
	}
	if c.For < 0 {
		return c, fmt.Errorf("cannot run for %s", c.For)
	}
	if c.Seed == 0 {
		c.Seed = uint64(rand.Uint32())
	}
	if c.Hosts == "" {
		c.Hosts = "2..4"
	}
	low, high, ok := strings.Cut(c.Hosts, "..")
	if !ok {
		high = low
	}
	if _, err := fmt.Sscanf(low+" "+high+"\n", "%d %d\n", &c.low, &c.high); err != nil || c.low < 2 || c.high > len(chaosNodes) || c.low > c.high {
		return c, fmt.Errorf("cannot use %q nodes — two to four: 3, or 2..4", c.Hosts)
	}
	switch c.Store {
	case "":
		c.Store = "embedded"
	case "embedded", "disk":
	default:
		return c, fmt.Errorf("cannot use store %q — embedded or disk", c.Store)
	}
	return c, nil
}

// Chaos lets faults of every kind happen to a cluster whose groups are written to
// all the time, and heals them, for as long as it is told. It fails when something
// that only one host may have was on two, when a line that was answered is not on
// the disk where and as often as it should be, when the program ended by itself,
// and when the service is not whole within a bound after everything was healed.
//
// The schedule of faults comes from the seed. What happens does not: it is the real
// time of real processes, so a seed gives the same faults again and not the same
// run. The end of ctx ends the faults; what was done until then is checked.
func Chaos(ctx context.Context, o Options, c ChaosOptions, out, errw io.Writer) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	if err := vacant(o.Name); err != nil {
		return err
	}
	r := &chaosRun{ChaosOptions: c, o: o, out: out, began: time.Now(), faults: make(map[string]int), missed: make(map[string]int), claims: make(map[string]int)}
	if c.JSON {
		r.out = errw // the document alone is the result
	}
	r.printf("chaos: seed %d, %s, store %s, %s nodes\n", c.Seed, c.For, c.Store, c.Hosts)
	r.printf("The seed gives the same faults at the same times again; what they meet is real\ntime and differs. Ctrl-C ends it, heals, checks, and takes the lab away.\n")
	stints := max(1, int((c.For+stintFor/2)/stintFor))
	for n := range stints {
		if ctx.Err() != nil {
			break
		}
		nodes := c.low + int((c.Seed+uint64(n))%uint64(c.high-c.low+1))
		if err = r.stint(ctx, n, nodes, c.For/time.Duration(stints)); err != nil {
			break
		}
	}
	sum := r.sum(ctx.Err() != nil, err)
	if c.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = errors.Join(err, enc.Encode(sum))
	} else {
		sum.print(out)
	}
	switch {
	case errors.Is(err, errBroken): // told already
		return fmt.Errorf("cannot call this a good run: %w, see above", errBroken)
	case err != nil:
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted after %s; what was done until then is fine", time.Since(r.began).Round(time.Second))
	}
	return nil
}

// chaosRun is what a run amounts to, over all its stints.
type chaosRun struct {
	ChaosOptions
	o     Options
	began time.Time

	mu      sync.Mutex // guards out and what is counted
	out     io.Writer
	faults  map[string]int // that struck, by kind
	missed  map[string]int // that could not strike: what they were to hit was down already
	stints  []stintSum
	outages []time.Duration
	claims  map[string]int // by evidence
	cleared int
	again   int // services that ended by themselves and were started again
	broken  []string
}

func (r *chaosRun) printf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, format, args...)
}

// tell is a line at its time since the run began; a long one is wrapped.
func (r *chaosRun) tell(who, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	head := fmt.Sprintf("%8.1f s  %-*s", time.Since(r.began).Seconds(), margin-12, who)
	for _, line := range wrap(fmt.Sprintf(format, args...), width-margin) {
		fmt.Fprintf(r.out, "%s%s\n", head, line)
		head = strings.Repeat(" ", margin)
	}
}

// stint plays one cluster from its boot to its last check.
func (r *chaosRun) stint(ctx context.Context, n, nodes int, for_ time.Duration) error {
	r.tell("", "cluster %d: %d nodes, store %s", n+1, nodes, r.Store)
	s := newStint(r, n, nodes)
	if err := s.up(ctx); err != nil {
		return err
	}
	// Whatever becomes of ctx, what was done is healed and checked.
	after, cancel := within(context.WithoutCancel(ctx), stintLimit)
	defer cancel()
	err := s.play(ctx, after, for_)
	if err == nil {
		err = s.finish(after)
	}
	if err != nil {
		s.tellWhy(after, err)
	}
	s.stop()
	return errors.Join(err, s.l.Down(after))
}

// stintLimit is far above what a stint takes.
const stintLimit = time.Hour
