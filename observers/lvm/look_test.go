package lvm

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile"
)

// programsOf answers as LVM does, from what is recorded.
type programsOf struct {
	mu        sync.Mutex
	id, vgs   string
	err       error
	hang      chan struct{} // vgs waits for it, or for ctx
	commands  []string
	lvmconfig string
	noAuto    bool // vgs does not know vg_autoactivation
}

func (p *programsOf) run(ctx context.Context, argv ...string) (Output, error) {
	p.mu.Lock()
	p.commands = append(p.commands, strings.Join(argv, " "))
	hang, err := p.hang, p.err
	p.mu.Unlock()
	if hang != nil && argv[0] == "vgs" {
		select {
		case <-hang:
		case <-ctx.Done():
			return Output{}, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		return Output{}, err
	case argv[0] == "lvm":
		return Output{Stdout: "  system ID: " + p.id + "\n"}, nil
	case argv[0] == "lvmconfig":
		return Output{Stdout: p.lvmconfig}, nil
	case p.noAuto && strings.Contains(strings.Join(argv, " "), "vg_autoactivation"):
		return Output{Code: 5, Stderr: "  Unrecognised field: vg_autoactivation"}, nil
	}
	return Output{Stdout: p.vgs}, nil
}

func (p *programsOf) set(f func(*programsOf)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

// What a look without Run shows, of one host and another.
func TestLookOnce(t *testing.T) {
	vgs := string(recorded(t, "vgs.json"))
	mapped := string(recorded(t, "mapped.txt"))
	for _, tc := range []struct {
		what, id, vgs, mapped string
		err                   error
		want                  reconcile.VolumeState
		why                   string
	}{
		{"standby", "n2", vgs, "", nil, reconcile.VolumeState{Visible: true, SystemID: "n1"}, ""},
		{"owner", "n1", vgs, mapped, nil, reconcile.VolumeState{Visible: true, Active: true, SystemID: "n1", Ours: true}, ""},
		{"active without owning", "n2", vgs, mapped, nil, reconcile.VolumeState{Visible: true, Active: true, SystemID: "n1"}, ""},
		{"no system id", "", vgs, "", nil, reconcile.VolumeState{Visible: true, SystemID: "n1"}, "this host has no LVM system id"},
		{"missing disk", "n2", string(recorded(t, "vgs-missing.json")), "", nil, reconcile.VolumeState{SystemID: "n1", Missing: 1}, "lacks 1 of its physical volumes"},
		{"not there", "n2", string(recorded(t, "vgs-none.json")), "", nil, reconcile.VolumeState{}, "cannot find volume group dcevg — attach its disks"},
		{"not there, and active", "n2", string(recorded(t, "vgs-none.json")), mapped, nil, reconcile.VolumeState{Active: true}, "cannot find volume group dcevg"},
		{"exported", "n2", string(recorded(t, "vgs-exported.json")), "", nil, reconcile.VolumeState{Missing: 1}, "is exported"},
		{"vgs fails", "n2", vgs, mapped, errors.New("no answer"), reconcile.VolumeState{Active: true}, "its metadata could not be read: no answer"},
		{"no report", "n2", "garbage", "", nil, reconcile.VolumeState{}, "its metadata could not be read"},
	} {
		p := &programsOf{id: tc.id, vgs: tc.vgs, err: tc.err}
		o := New(p.run, nil)
		o.sysBlock = sysfs(t, tc.mapped)
		got, err := o.Look(t.Context(), []string{"dcevg"})
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %v %v", tc.what, got, err)
		}
		st := got[0]
		if (st.Why == "") != (tc.why == "") || !strings.Contains(st.Why, tc.why) {
			t.Errorf("%s: %q, want %q", tc.what, st.Why, tc.why)
		}
		st.Why, tc.want.Name = "", "dcevg"
		if !reflect.DeepEqual(st, tc.want) {
			t.Errorf("%s:\n%+v, want\n%+v", tc.what, st, tc.want)
		}
		for _, c := range p.commands {
			if strings.HasPrefix(c, "vgs") && (!strings.Contains(c, Settings) || !strings.Contains(c, "--readonly")) {
				t.Errorf("%s: %s", tc.what, c)
			}
		}
	}
	o := New((&programsOf{}).run, nil)
	o.sysBlock = "/nonexistent"
	if got, err := o.Look(t.Context(), []string{"dcevg"}); err == nil {
		t.Errorf("%+v of a kernel that lists no devices", got)
	}
	if got, err := o.Look(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("%v %v without volume groups", got, err)
	}
}

// Looks do not wait for a program that hangs, what becomes active shows at once,
// and whose it is only when the metadata has been read again.
func TestLooksGoOnWhileVgsHangs(t *testing.T) {
	lines := string(recorded(t, "mapped.txt"))
	dir := sysfs(t, "")
	synctest.Test(t, func(t *testing.T) {
		p := &programsOf{id: "n1", vgs: string(recorded(t, "vgs.json"))}
		changes := 0
		o := New(p.run, func() { changes++ })
		o.sysBlock = dir
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		look := func() reconcile.VolumeState {
			t.Helper()
			began := time.Now()
			got, err := o.Look(ctx, []string{"dcevg"})
			if err != nil || time.Since(began) != 0 {
				t.Fatalf("%v after %s", err, time.Since(began))
			}
			return got[0]
		}
		go func() { done <- o.Run(ctx) }()
		synctest.Wait()
		if st := look(); st.Visible || !strings.Contains(st.Why, "not read yet") {
			t.Errorf("%+v", st)
		}
		synctest.Wait() // the look had it read
		if st := look(); !st.Visible || !st.Ours || st.Active || st.Why != "" || changes != 1 {
			t.Errorf("%d %+v", changes, st)
		}
		hang := make(chan struct{})
		p.set(func(p *programsOf) { p.hang = hang })
		mapDevices(t, dir, lines)
		if st := look(); !st.Active || !st.Visible || st.Ours || st.SystemID != "" {
			t.Errorf("just active: %+v", st)
		}
		synctest.Wait()
		if st := look(); !st.Active || st.Ours {
			t.Errorf("while vgs hangs: %+v", st)
		}
		time.Sleep(Limit + time.Second)
		synctest.Wait()
		if st := look(); !st.Active || st.Visible || !strings.Contains(st.Why, "could not be read") {
			t.Errorf("after the limit: %+v", st)
		}
		p.set(func(p *programsOf) { p.hang = nil })
		close(hang)
		time.Sleep(Pace + Limit)
		synctest.Wait()
		if st := look(); !st.Active || !st.Visible || !st.Ours {
			t.Errorf("after it came back: %+v", st)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// What a program says is kept up to a bound, and it is killed at the limit.
func TestExec(t *testing.T) {
	run := Exec()
	if _, err := run(t.Context(), "no-such-program-of-lvm"); err == nil || !strings.Contains(err.Error(), "install lvm2") {
		t.Error(err)
	}
	o, err := run(t.Context(), "sh", "-c", "echo out; echo err >&2; exit 5")
	if err != nil || o.Code != 5 || o.Stdout != "out\n" || o.says() != "err" {
		t.Error(o, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := run(ctx, "sh", "-c", "sleep 600"); err == nil || !strings.Contains(err.Error(), "killed") || time.Since(began) > 30*time.Second {
		t.Error(err, time.Since(began))
	}
	o, err = run(t.Context(), "sh", "-c", "head -c 9000000 /dev/zero")
	if err != nil || len(o.Stdout) != most {
		t.Error(len(o.Stdout), err)
	}
}
