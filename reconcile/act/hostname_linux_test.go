package act

import (
	"os"
	"path/filepath"
	"testing"

	"understudy/reconcile"
)

func TestHostnameIsSavedAndRestored(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	ctx := t.Context()
	is := func(want, wantSaved string) {
		t.Helper()
		name, err := hostname()
		if err != nil || name != want {
			t.Errorf("host name %q %v, want %q", name, err, want)
		}
		saved, err := h.SavedHostname()
		if err != nil || saved != wantSaved {
			t.Errorf("saved %q %v, want %q", saved, err, wantSaved)
		}
	}
	must := func(s reconcile.Step) {
		t.Helper()
		if err := h.Do(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	own, err := hostname()
	if err != nil {
		t.Fatal(err)
	}
	must(reconcile.RestoreHostname{Name: own})
	is(own, "")
	must(reconcile.SetHostname{Name: "dcesvc"})
	must(reconcile.SetHostname{Name: "dcesvc"})
	is("dcesvc", own)
	must(reconcile.SetHostname{Name: "othersvc"}) // the saved name stays the host's own
	is("othersvc", own)

	h = New(Options{StateDir: h.opts.StateDir}) // as after kill -9
	defer h.Close()
	is("othersvc", own)
	must(reconcile.RestoreHostname{Name: own})
	must(reconcile.RestoreHostname{Name: own})
	is(own, "")

	for _, bad := range []string{"", "xxx", "a b", "-a", "a-", "a..b", "a/b"} {
		if err := h.Do(ctx, reconcile.SetHostname{Name: bad}); err == nil {
			t.Errorf("%q was set", bad)
		}
	}
	is(own, "")
	if err := os.WriteFile(filepath.Join(h.opts.StateDir, savedHostnameFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, h.Do(ctx, reconcile.RestoreHostname{}), "empty", "by hand")
	wantError(t, h.Do(ctx, reconcile.SetHostname{Name: "dcesvc"}), "empty")
}
