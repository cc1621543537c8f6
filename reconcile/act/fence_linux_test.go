package act

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

func fenceOf(agent string, timeout time.Duration, options ...config.Option) reconcile.Fence {
	return reconcile.Fence{Node: "alpha", BootID: "b", Methods: []config.Fence{{Agent: agent, Options: options, Timeout: timeout}}}
}

func needAgents(t *testing.T) {
	t.Helper()
	needRoot(t)
	if _, err := exec.LookPath("fence_dummy"); err != nil {
		t.Skip("needs fence_dummy: apt-get install fence-agents")
	}
}

func TestFenceWithTheRealAgent(t *testing.T) {
	needAgents(t)
	h := newHost(t)
	file := t.TempDir() + "/status"
	step := fenceOf("fence_dummy", 20*time.Second, config.Option{Key: "status_file", Value: file}, config.Option{Key: "type", Value: "file"})
	if err := os.WriteFile(file, []byte("on"), 0o600); err != nil {
		t.Fatal(err)
	}
	status := func(want bool) {
		t.Helper()
		if on, err := FenceStatus(within(t, 20*time.Second), step.Methods[0]); err != nil || on != want {
			t.Errorf("on is %v, want %v: %v", on, want, err)
		}
	}
	status(true)
	defer status(false)
	for range 2 {
		began := time.Now()
		if err := h.Do(within(t, 20*time.Second), step); err != nil {
			t.Fatal(err)
		}
		t.Logf("fenced in %s", time.Since(began))
	}
	if b, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(b)) != "off" {
		t.Errorf("status file says %q %v", b, err)
	}
	m, err := Metadata(within(t, time.Minute), "fence_dummy")
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "fence_dummy" || !m.Can("off") || !m.Can("status") || m.Can("nosuch") {
		t.Errorf("%+v", m)
	}
	unknown, missing := CheckOptions(m, append(step.Methods[0].Options, config.Option{Key: "nosuch", Value: "x"}))
	if !slices.Equal(unknown, []string{"nosuch"}) || len(missing) != 0 {
		t.Errorf("unknown %v, missing %v", unknown, missing)
	}
}

func TestFenceFaults(t *testing.T) {
	needRoot(t)
	t.Parallel() // it waits for limits
	dir := t.TempDir()
	h := newHost(t)
	key := dir + "/key"
	if err := os.WriteFile(key, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := "while read line; do case $line in action=*) action=${line#action=};; esac; done\n"
	agent := func(name, text string) string { return script(t, dir+"/"+name, read+text) }
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"lies", "[ $action = off ] && exit 0; exit 0", []string{"off reported success, but status says that it is still on", "timeout of 1s"}},
		{"fails", "echo 'login with hunter2 refused' >&2; exit 1", []string{"exit status 1", "login with *** refused"}},
		{"hangs", "sleep 1000", []string{"killed", "timeout of 1s"}},
		{"hangs only when off", "[ $action = off ] && sleep 1000; exit 0", []string{"killed"}},
		{"garbage", "head -c 1000000 /dev/zero | tr '\\0' x; exit 77", []string{"exit status 77"}},
		{"status unknown", "[ $action = off ] && exit 0; exit 3", []string{"action status ended with exit status 3"}},
		{"killed", "kill -9 $$", []string{"exit status -1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			began := time.Now()
			err := h.Do(within(t, time.Minute), fenceOf(agent(strings.ReplaceAll(tc.name, " ", "-"), tc.text), time.Second, config.Option{Key: "password_file", Value: key}))
			wantError(t, err, append(tc.want, "cannot fence alpha", "unknown: look at the device")...)
			if strings.Contains(err.Error(), "hunter2") || len(err.Error()) > 2000 {
				t.Errorf("secret or flood in %q", err)
			}
			if time.Since(began) > 30*time.Second {
				t.Errorf("took %s", time.Since(began))
			}
		})
	}

	// off fails or hangs, but status says off all the same: that is success.
	for _, text := range []string{"[ $action = off ] && exit 1; exit 2", "[ $action = off ] && sleep 1000; exit 2"} {
		if err := h.Do(within(t, time.Minute), fenceOf(agent("odd", text), time.Second)); err != nil {
			t.Error(err)
		}
	}
	// It takes a while, as real power does.
	slow := agent("slow", `[ $action = off ] && { (sleep 0.2; touch `+dir+`/off) >/dev/null 2>&1 & exit 0; }; [ -e `+dir+`/off ] && exit 2; exit 0`)
	if err := h.Do(within(t, time.Minute), fenceOf(slow, 5*time.Second)); err != nil {
		t.Error(err)
	}
	// The secret goes to standard input under its own name, and not into argv.
	seen := script(t, dir+"/seen", `cat >>`+dir+`/stdin; echo "$*" >>`+dir+`/argv; exit 2`)
	if err := h.Do(within(t, time.Minute), fenceOf(seen, time.Minute, config.Option{Key: "ip", Value: "10.9.0.11"}, config.Option{Key: "password_file", Value: key})); err != nil {
		t.Error(err)
	}
	in, _ := os.ReadFile(dir + "/stdin")
	argv, _ := os.ReadFile(dir + "/argv")
	if !strings.HasPrefix(string(in), "ip=10.9.0.11\npassword=hunter2\naction=off\n") || strings.TrimSpace(string(argv)) != "" {
		t.Errorf("stdin %q, argv %q", in, argv)
	}

	self := fenceOf(seen, time.Minute)
	self.Node = "node1"
	wantError(t, h.Do(t.Context(), self), "does not fence itself")
	wantError(t, h.Do(within(t, 5*time.Second), fenceOf("fence_nosuch", 100*time.Millisecond)), "cannot find program fence_nosuch")
	wantError(t, h.Do(t.Context(), fenceOf(seen, time.Minute, config.Option{Key: "password_file", Value: dir + "/none"})), "password_file", "no such file")
	wantError(t, h.Do(t.Context(), fenceOf(seen, time.Minute, config.Option{Key: "ip", Value: "a\naction=on"})), "on one line")

	ctx, cancel := context.WithCancelCause(within(t, time.Minute))
	lost := errors.New("lease lost")
	time.AfterFunc(100*time.Millisecond, func() { cancel(lost) })
	began := time.Now()
	if err := h.Do(ctx, fenceOf(agent("hang", "sleep 1000"), time.Minute)); !errors.Is(err, lost) || time.Since(began) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// TestFenceMethods: a board that died with its power answers nothing; the outlet
// behind it is asked next, and what counts is the status of who did it.
func TestFenceMethods(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	h := newHost(t)
	read := "while read line; do case $line in action=*) action=${line#action=};; port=*) port=${line#port=};; esac; done\n"
	agent := func(name, text string, options ...config.Option) config.Fence {
		return config.Fence{Agent: script(t, dir+"/"+name, read+text), Options: options, Timeout: 5 * time.Second}
	}
	dead := agent("dead", "echo no route to 10.9.0.11 >&2; exit 1")
	lies := agent("lies", "exit 0")
	lies.Timeout = 200 * time.Millisecond
	outlet := agent("outlet", `echo $action $port >>`+dir+`/asked; [ $action = off ] && exit 0; exit 2`, config.Option{Key: "port", Value: "12"})
	never := agent("never", "touch "+dir+"/never-tried; exit 2")
	try := func(ctx context.Context, methods ...config.Fence) (string, error) {
		return h.Fence(ctx, reconcile.Fence{Node: "alpha", BootID: "b", Methods: methods})
	}

	got, err := try(within(t, 20*time.Second), dead, lies, outlet, never)
	if err != nil || got != outlet.Agent {
		t.Errorf("%q %v", got, err)
	}
	if b, _ := os.ReadFile(dir + "/asked"); string(b) != "off 12\nstatus 12\n" {
		t.Errorf("the outlet was asked %q", b)
	}
	if _, err := os.Stat(dir + "/never-tried"); err == nil {
		t.Error("a method was tried after one that had worked")
	}
	_, err = try(within(t, 20*time.Second), dead, lies)
	wantError(t, err, "cannot fence alpha with "+dead.Agent, "no route to 10.9.0.11", "cannot fence alpha with "+lies.Agent, "status says that it is still on", "unknown: look at the device")

	// Who may not fence any more does not go on to the next method.
	ctx, cancel := context.WithCancelCause(within(t, 20*time.Second))
	lost := errors.New("lease lost")
	slow := agent("slow", "touch "+dir+"/slow-began; sleep 1000")
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(dir + "/slow-began"); err == nil {
				cancel(lost)
			}
			runtime.Gosched()
		}
	}()
	if _, err := try(ctx, slow, never); !errors.Is(err, lost) {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/never-tried"); err == nil {
		t.Error("a method was tried after the lease was lost")
	}
}

const someMetadata = `<?xml version="1.0" ?>
<resource-agent name="fence_x" shortdesc="X" >
<symlink name="fence_y" shortdesc="Y"/>
<parameters>
	<parameter name="action" unique="0" required="1"><content type="string" default="off"  /></parameter>
	<parameter name="ip" unique="0" required="1" obsoletes="ipaddr"><content type="string"  /></parameter>
	<parameter name="ipaddr" unique="0" required="1" deprecated="1"><content type="string"  /></parameter>
	<parameter name="password" unique="0" required="0"><content type="string"  /></parameter>
	<parameter name="method" unique="0" required="0"><content type="select" default="onoff"  >
		<option value="onoff" /><option value="cycle" /></content></parameter>
	<parameter name="power_timeout" unique="0" required="0"><content type="second" default="20"  /></parameter>
</parameters>
<actions><action name="on" automatic="0"/><action name="off" /><action name="status" /></actions>
</resource-agent>`

func TestCheckOptions(t *testing.T) {
	m, err := parseMetadata([]byte(someMetadata))
	if err != nil {
		t.Fatal(err)
	}
	opts := func(kv ...string) (out []config.Option) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, config.Option{Key: kv[i], Value: kv[i+1]})
		}
		return out
	}
	for _, tc := range []struct {
		name             string
		options          []config.Option
		unknown, missing []string
	}{
		{"good", opts("ip", "1", "password_file", "/k", "method", "cycle", "power_timeout", "3"), nil, nil},
		{"old name", opts("ipaddr", "1"), nil, nil},
		{"missing", nil, nil, []string{"ip", "ipaddr"}},
		{"no such choice", opts("ip", "1", "method", "hammer"), []string{"method=hammer"}, nil},
		{"unknown", opts("ip", "1", "pasword_file", "/k", "action", "on"), []string{"pasword_file", "action"}, nil},
	} {
		unknown, missing := CheckOptions(m, tc.options)
		if !slices.Equal(unknown, tc.unknown) || !slices.Equal(missing, tc.missing) {
			t.Errorf("%s: unknown %v, missing %v", tc.name, unknown, missing)
		}
	}
	for _, bad := range []string{"", "<a/>", "<resource-agent/>", `<resource-agent name="x"><parameters/></resource-agent>`, someMetadata[:200]} {
		if _, err := parseMetadata([]byte(bad)); err == nil {
			t.Errorf("%.30q was read", bad)
		}
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(someMetadata))
	f.Add([]byte("<resource-agent"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseMetadata(b); err == nil {
			CheckOptions(m, []config.Option{{Key: "ip_file", Value: "x"}})
		}
	})
}

// TestFenceSettle: what a machine had sent off is given its time after the confirmed
// off, which the agent's own timeout does not count; a fence that is broken off in it
// is none.
func TestFenceSettle(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	step := fenceOf(script(t, t.TempDir()+"/off", "exit 2"), 10*time.Second)
	step.Methods[0].Settle = 300 * time.Millisecond
	began := time.Now()
	if agent, err := h.Fence(within(t, time.Minute), step); err != nil || agent != step.Methods[0].Agent {
		t.Errorf("%q %v", agent, err)
	}
	if took := time.Since(began); took < step.Methods[0].Settle {
		t.Errorf("took %s", took)
	}
	step.Methods[0].Settle = time.Hour
	ctx, cancel := context.WithCancelCause(within(t, time.Minute))
	lost := errors.New("lease lost")
	time.AfterFunc(300*time.Millisecond, func() { cancel(lost) })
	if _, err := h.Fence(ctx, step); !errors.Is(err, lost) {
		t.Errorf("broken off: %v", err)
	}
	if sp := step.Spec(); sp.Limit < time.Hour || sp.Expect < time.Hour {
		t.Errorf("limit %s, expected %s", sp.Limit, sp.Expect)
	}
}
