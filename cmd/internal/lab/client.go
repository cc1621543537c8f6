//go:build linux

package lab

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// clientMain asks the service for as long as it lives: a new connection every
// interval, whether the one before has been answered or not, so that an address
// that is dead for a moment costs no more than it is. Each asks with a number of
// its own; an answer is that number come back.
func clientMain(args []string, errw io.Writer) int {
	flags := flag.NewFlagSet("lab-client", flag.ContinueOnError)
	flags.SetOutput(errw)
	target := flags.String("to", "", "address and port of the service")
	every := flags.Duration("every", 5*time.Millisecond, "between two questions")
	limit := flags.Duration("limit", 100*time.Millisecond, "for connection and answer together")
	first := flags.Int64("first", 1, "the first number")
	record := flags.String("record", "", "file for every answer, as \"NUMBER TIME\" in CLOCK_MONOTONIC nanoseconds; it outlives the host")
	socket := flags.String("socket", socketsInside+"/"+clientSocket, "where it tells what it saw")
	if flags.Parse(args) != nil || *target == "" || *every <= 0 {
		return 2
	}
	l, err := listen(*socket)
	if err != nil {
		fmt.Fprintf(errw, "lab-client: %v\n", err)
		return 1
	}
	c := &asker{to: *target, limit: *limit}
	if *record != "" {
		if c.record, err = os.OpenFile(*record, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY|syscall.O_CLOEXEC, 0o600); err != nil {
			fmt.Fprintf(errw, "lab-client: %v\n", err)
			return 1
		}
	}
	go func() {
		for n := *first; ; n++ {
			go c.ask(n)
			time.Sleep(*every)
		}
	}()
	serve(l, func(_ context.Context, req request, _ []*os.File) (any, error) {
		switch req.Op {
		case "report":
			return c.report(req.Since), nil
		case "acked":
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.numbers(), nil
		}
		return nil, fmt.Errorf("cannot do %q in a client", req.Op)
	})
	return 1
}

type asker struct {
	to     string
	limit  time.Duration
	record *os.File // nil: none

	mu       sync.Mutex
	answered []answered // in the order of the answers
	failures []failure  // in the order of their ends
}

type answered struct {
	number int64
	at     int64 // CLOCK_MONOTONIC, nanoseconds
}

type failure struct {
	at  int64
	why string
}

func (c *asker) ask(n int64) {
	err := c.once(n)
	if err == nil && c.record != nil {
		fmt.Fprintf(c.record, "%d %d\n", n, monotonic()) // one write, appended
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := monotonic() // inside the lock: the lists are in order
	if err != nil {
		c.failures = append(c.failures, failure{at, reason(err)})
		return
	}
	c.answered = append(c.answered, answered{n, at})
}

func (c *asker) once(n int64) error {
	deadline := time.Now().Add(c.limit)
	d := net.Dialer{Deadline: deadline, KeepAlive: -1}
	conn, err := d.Dial("tcp", c.to)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(deadline)
	conn.(*net.TCPConn).SetLinger(0) // no TIME_WAIT: 200 a second would use up the ports
	question := strconv.FormatInt(n, 10)
	if _, err := io.WriteString(conn, question+"\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.TrimSpace(line) != question {
		return fmt.Errorf("wrong answer %q", line)
	}
	return nil
}

// reason is the kind of an error, without its addresses.
func reason(err error) string {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case os.IsTimeout(err):
		return "no answer in time"
	}
	return err.Error()
}

// Report is what a client saw since a mark.
type Report struct {
	Answers  int            // since the mark
	Longest  time.Duration  // longest time between two answers, the last before the mark included; the time since the last answer counts
	From     time.Duration  // CLOCK_MONOTONIC when the longest gap began
	Open     time.Duration  // since the last answer
	Failures map[string]int // questions without an answer, by reason
}

func (c *asker) report(since int64) Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := monotonic()
	r := Report{Failures: make(map[string]int)}
	i, _ := slices.BinarySearchFunc(c.answered, since, func(a answered, t int64) int { return cmp.Compare(a.at, t) })
	last := since
	if i > 0 {
		last = c.answered[i-1].at
	}
	gap := func(to int64) {
		if d := time.Duration(to - last); d > r.Longest {
			r.Longest, r.From = d, time.Duration(last)
		}
	}
	for _, a := range c.answered[i:] {
		gap(a.at)
		last = a.at
		r.Answers++
	}
	gap(now)
	r.Open = time.Duration(now - last)
	for _, f := range slices.Backward(c.failures) {
		if f.at < since {
			break
		}
		r.Failures[f.why]++
	}
	return r
}

func (c *asker) numbers() []int64 {
	all := make([]int64, len(c.answered))
	for i, a := range c.answered {
		all[i] = a.number
	}
	return all
}
