//go:build linux

package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"

	"understudy/cmd/internal/lab"
)

// The cluster's secret is changed in three rounds while a client writes: nothing
// moves, nothing is lost, and at the end nobody believes the old one.
func TestTheKeyIsChangedUnderLoad(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	before := b.serving(lab.Alpha)
	const program, file = "/opt/understudy/bin/understudy", "/etc/understudy/cluster.key"
	machines := []string{lab.Beta, lab.Witness, lab.Alpha}
	inForce := func(want int) {
		ctx, cancel := context.WithTimeout(b.ctx, limit)
		defer cancel()
		b.must(b.Wait(ctx, "all machines having the same keys in force", func(context.Context) (bool, error) {
			st, err := b.status(lab.Alpha)
			if err != nil || len(st.Keys) != want || len(st.Peers) != 2 {
				return false, err
			}
			for _, p := range st.Peers {
				if p.State != "heard" || !slices.Equal(p.Keys, st.Keys) {
					return false, nil
				}
			}
			return true, nil
		}))
	}
	old := strings.Fields(b.run(lab.Alpha, program, "key"))[0]
	mark := b.client.Mark()
	for i, verb := range []string{"add", "promote", "retire"} {
		b.run(lab.Alpha, program, "key", verb)
		text := b.run(lab.Alpha, "cat", file)
		for _, m := range machines {
			if m != lab.Alpha {
				var errs bytes.Buffer
				code, err := b.Run(b.ctx, m, lab.Command{Argv: []string{"sh", "-c", "cat >" + file}, Stdin: strings.NewReader(text), Stderr: &errs})
				if err != nil || code != 0 {
					t.Fatalf("copy to %s: exit %d %v %s", m, code, err, errs.String())
				}
			}
			b.must(b.SignalService(b.ctx, m, syscall.SIGQUIT)) // leave
			if _, err := b.WaitEnd(b.ctx, m, "understudy"); err != nil {
				t.Fatal(err)
			}
			b.must(b.StartService(b.ctx, m))
			b.ready(lab.Beta)
			b.serving(lab.Alpha)
		}
		inForce([]int{2, 2, 1}[i])
	}
	if now := b.run(lab.Alpha, program, "key"); strings.Contains(now, old) {
		t.Errorf("the old key %s is believed:\n%s", old, now)
	}
	if g := b.serving(lab.Alpha); g.Claim.Epoch != before.Claim.Epoch {
		t.Errorf("epoch %d, was %d: %s", g.Claim.Epoch, before.Claim.Epoch, g.Claim.Reason)
	}
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
	t.Logf("the longest time without an answer: %v", b.outage(mark))
}
