package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// hookStep is a hook of group "g" that runs a line of shell.
func hookStep(limit time.Duration, line string) reconcile.RunHook {
	return reconcile.RunHook{
		Group: "g",
		Hook: config.Hook{
			Name: "page", Event: config.EventTakeover, When: config.Post, Group: "g",
			Command: []string{"/bin/sh", "-c", line}, Limit: limit, OnFailure: config.IgnoreHookFailure,
		},
		Environment: []config.Option{{Key: "UNDERSTUDY_EVENT", Value: "takeover"}, {Key: "UNDERSTUDY_FROM", Value: "alpha"}},
	}
}

// eventually waits for a condition that other processes bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx := within(t, 30*time.Second)
	for !ok() {
		if !pause(ctx, 2*time.Millisecond) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// killSleeps ends what a hook of a test was meant to leave behind.
func killSleeps(t *testing.T, line string) {
	t.Cleanup(func() {
		states, err := lookFor("g", config.Application{Name: "a", Daemons: []config.Daemon{{Match: line}}})(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		for _, p := range processesIn(states[0]) {
			_ = signal(p, 9)
		}
	})
}

func TestHookEnvironmentAndOutput(t *testing.T) {
	needRoot(t)
	t.Setenv("LEAKED", "secret")
	h := newHost(t)
	var lines []string
	h.opts.OnOutput = func(group, app, line string) { lines = append(lines, group+" "+app+" "+line) }
	out := filepath.Join(t.TempDir(), "env")
	err := h.Do(within(t, 30*time.Second), hookStep(20*time.Second, "env | sort >"+out+"; echo told"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if env := string(b); !strings.Contains(env, "UNDERSTUDY_EVENT=takeover\n") || !strings.Contains(env, "UNDERSTUDY_FROM=alpha\n") || strings.Contains(env, "LEAKED") {
		t.Errorf("environment:\n%s", env)
	}
	if len(lines) != 1 || lines[0] != "g hook-page told" {
		t.Errorf("output: %q", lines)
	}
}

func TestHookFailures(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	err := h.Do(within(t, 30*time.Second), hookStep(20*time.Second, "echo nobody answers; exit 7"))
	wantError(t, err, "cannot run hook page (post-takeover)", "exit status 7", "nobody answers")
	step := hookStep(time.Second, "")
	step.Hook.Command = []string{"/no/such/program"}
	wantError(t, h.Do(within(t, 30*time.Second), step), "cannot run /no/such/program")
}

// TestHookIsKilledWithAllItStarted: also what has left its session, where there are
// cgroups.
func TestHookIsKilledWithAllItStarted(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	child, escaped := aSleep(), aSleep()
	line := fmt.Sprintf("trap '' TERM; %s & ", child)
	if cg, err := cgroupFor("g", "x"); err != nil {
		t.Fatal(err)
	} else if cg != "" {
		line += fmt.Sprintf("setsid %s & ", escaped)
	}
	killSleeps(t, escaped)
	err := h.Do(within(t, 60*time.Second), hookStep(300*time.Millisecond, line+"wait"))
	wantError(t, err, "it was killed", "its limit of 300ms has passed")
	if n := running(t, child) + running(t, escaped); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}

// TestHookEndsWithItsPlan: a lost lease does not wait for a hook.
func TestHookEndsWithItsPlan(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	child := aSleep()
	ctx, cancel := context.WithCancelCause(within(t, 60*time.Second))
	ended := make(chan error, 1)
	go func() { ended <- h.Do(ctx, hookStep(50*time.Second, "trap '' TERM; "+child)) }()
	eventually(t, "the hook runs", func() bool { return running(t, child) == 1 })
	began := time.Now()
	cancel(errors.New("the lease is lost"))
	wantError(t, <-ended, "the lease is lost")
	t.Logf("killed in %s", time.Since(began))
	if n := running(t, child); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}

// TestHookMayLeaveAService: a hook that starts something and ends well has done
// its work, and a later run that is killed does not take that away.
func TestHookMayLeaveAService(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	service := aSleep()
	killSleeps(t, service)
	if err := h.Do(within(t, 60*time.Second), hookStep(50*time.Second, "setsid "+service+" >/dev/null 2>&1 &")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the service runs", func() bool { return running(t, service) == 1 })
	wantError(t, h.Do(within(t, 60*time.Second), hookStep(50*time.Millisecond, "sleep 60")), "it was killed")
	if n := running(t, service); n != 1 {
		t.Errorf("%d of the service run", n)
	}
}

func TestNotify(t *testing.T) {
	if err := newHost(t).Do(within(t, 10*time.Second), reconcile.Notify{Group: "g", App: "dce", Text: "log in again"}); err != nil {
		t.Error(err)
	}
}
