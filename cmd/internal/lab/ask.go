//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Asker is the client of a lab: it asks the service every 5 ms on a new
// connection for as long as its host is up.
type Asker struct {
	l    *Lab
	host string
	to   netip.AddrPort
}

// Client starts asking the default configuration's service from the client's
// host.
func (l *Lab) Client(ctx context.Context) (*Asker, error) {
	return l.ClientOn(ctx, Client, netip.AddrPortFrom(ServiceAddress.Addr(), ServicePort), 1)
}

// recordName is where a client on a node writes down every answer, in the host's
// state, which outlives the host.
const recordName = "client-answers"

// ClientOn starts asking a service from a host, with numbers from first upwards.
// A host has one client at a time.
func (l *Lab) ClientOn(ctx context.Context, host string, to netip.AddrPort, first int64) (*Asker, error) {
	a := &Asker{l: l, host: host, to: to}
	argv := []string{binaryInside, "lab-client", "--to", to.String(), "--first", strconv.FormatInt(first, 10)}
	if host != Client { // a host that may lose its power
		argv = append(argv, "--record", stateInside+"/"+recordName)
	}
	if err := l.Spawn(ctx, host, "client", argv...); err != nil {
		return nil, err
	}
	return a, l.Wait(ctx, "the client asking", func(ctx context.Context) (bool, error) {
		_, err := a.Since(ctx, a.Mark())
		return err == nil, err
	})
}

// Mark is this moment, for [Asker.Since]: CLOCK_MONOTONIC, as all times of a lab.
func (a *Asker) Mark() time.Duration { return time.Duration(monotonic()) }

// Since reports what the client saw since a mark.
func (a *Asker) Since(ctx context.Context, mark time.Duration) (Report, error) {
	var r Report
	err := a.ask(ctx, request{Op: "report", Since: int64(mark)}, &r)
	return r, err
}

// Gap is the longest time between two answers since a mark.
func (a *Asker) Gap(ctx context.Context, mark time.Duration) (time.Duration, error) {
	r, err := a.Since(ctx, mark)
	return r.Longest, err
}

// Acked lists every number that was acknowledged, in the order of the answers.
func (a *Asker) Acked(ctx context.Context) ([]int64, error) {
	var all []int64
	err := a.ask(ctx, request{Op: "acked"}, &all)
	return all, err
}

// Answered waits until the client has had n answers since a mark.
func (a *Asker) Answered(ctx context.Context, mark time.Duration, n int) error {
	return a.l.Wait(ctx, "answers to the client", func(ctx context.Context) (bool, error) {
		r, err := a.Since(ctx, mark)
		return r.Answers >= n, err
	})
}

// Stop ends the client.
func (a *Asker) Stop(ctx context.Context) error {
	if err := a.l.Signal(ctx, a.host, "client", syscall.SIGKILL); err != nil {
		return err
	}
	_, err := a.l.WaitEnd(ctx, a.host, "client")
	return err
}

// recorded is every answer that the client of a node has had, whether the node is
// on or not.
func (a *Asker) recorded() ([]answered, error) {
	path := filepath.Join(a.l.Dir(), a.host, recordName)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read what the client on %s was told: %w", a.host, err)
	}
	var all []answered
	for line := range strings.Lines(string(b)) {
		if !strings.HasSuffix(line, "\n") {
			break // the power went while it was written
		}
		var one answered
		if _, err := fmt.Sscan(line, &one.number, &one.at); err != nil {
			return nil, fmt.Errorf("cannot read %s: line %q: %w", path, line, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func (a *Asker) ask(ctx context.Context, req request, into any) error {
	return call(ctx, filepath.Join(a.l.run, a.host, "lab", clientSocket), req, into)
}
