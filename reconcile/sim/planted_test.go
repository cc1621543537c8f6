package sim

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// plants are bugs that others had, or that this program would have without a line
// that looks as if it could go. Each is planted into the real source, by an overlay
// of the compiler, and the search must find it. What a second check would make good
// is taken out with it: two locks, both open.
var plants = []struct {
	name string
	say  string // in a violation
	edit []edit
}{
	{"the fence is skipped", "while", []edit{
		{"../lease/authority.go", `agent, err := a.Off(ctx, f)`, `agent, err := f.Agents(), error(nil)`},
	}},
	{"silence is taken for death", "while", []edit{
		{"../take.go", `case contradicted(c, s):`,
			"case s.Peer(c.Holder).State == PeerSilent:\n\t\treturn Evidence{Kind: EvidenceRebooted}, true\n\tcase contradicted(c, s):"},
	}},
	{"a fence of an earlier boot is believed", "while", []edit{
		{"../take.go", `if f, ok := st.Fenced[c.Holder]; ok && f.BootID == c.BootID {`, `if f, ok := st.Fenced[c.Holder]; ok && f.BootID != "" {`},
		{"../lease/take.go", `if f := v.Fenced[was.Holder]; f.BootID != was.BootID || f.BootID == "" {`, `if f := v.Fenced[was.Holder]; f.BootID == "" {`},
		{"../lease/take.go", `if v.Live[was.Holder] == was.BootID {`, `if false {`},
		{"../take.go", `return (p.State == PeerHeard || p.State == PeerDistant) && p.BootID == c.BootID`, `return false && p.Name == ""`},
	}},
	{"the lease counts from the reply", "knows no lease", []edit{
		{"../lease/renew.go", `k.sent, k.ever, k.failure = sent, true, ""`, `k.sent, k.ever, k.failure = k.now(), true, ""`},
		{"../lease/renew.go", `limit := k.cfg.Renew`, `limit := k.cfg.TTL`},
	}},
	{"a lost lease does not end a plan", "knows no lease", []edit{
		{"../loop/flight.go", `case d.Transition.Event == fsm.LeaseLost && f.plan.Goal == reconcile.Hold:`, `case false:`},
		{"../loop/flight.go", `case d.Goal != f.plan.Goal && d.Goal != reconcile.Leave:`, `case false:`},
		{"../loop/flight.go", `if sp.Storage {`, `if false {`},
	}},
	{"the claim is taken after the mount", "the claim of", []edit{
		{"../diff.go", `b.add(TakeClaim{Group: b.g.Name, Was: b.claim, Epoch: b.claim.Epoch + 1, Evidence: ev, Reason: take.Reason,`,
			"defer b.add(TakeClaim{Group: b.g.Name, Was: b.claim, Epoch: b.claim.Epoch + 1, Evidence: ev, Reason: take.Reason,"},
	}},
	{"release is not proved", "while", []edit{
		{"../release.go", `b.add(ProveRelease{Group: *b.g}, "the next holder relies on it")`, `_ = ProveRelease{}`},
	}},
	{"the claim is released before the unmount", "while", []edit{
		{"../release.go", `b.unmounts(mine)`, `defer b.unmounts(mine)`},
		{"../release.go", `b.add(ProveRelease{Group: *b.g}, "the next holder relies on it")`, `_ = ProveRelease{}`},
	}},
	{"the address stays", "while", []edit{
		{"../release.go", `b.add(DropAddress{Address: a}, "it is here and not wanted")`, `_ = DropAddress{}`},
		{"../release.go", `b.add(ProveRelease{Group: *b.g}, "the next holder relies on it")`, `_ = ProveRelease{}`},
	}},
	{"nothing is purged", "left behind", []edit{
		{"../diff.go", `b.add(PurgeFiles{Group: b.g.Name, App: a, Purge: p, Mount: m}, "left behind by the last run")`, `_ = m`},
	}},
	{"the host name is not put back after a crash", "has the name", []edit{
		{"../loop/memory.go", `saved := l.opt.Actor.SavedHostname()`, `saved := ""; _ = l.opt.Actor.SavedHostname`},
	}},
	{"a dirty node is not remembered", "nothing on disk says so", []edit{
		{"../dirty.go", `b.add(MarkDirty{Group: b.g.Name, App: a.Name, BootID: b.s.BootID}, "once started, only a reboot of this host lets go of the disks")`, `_ = MarkDirty{}`},
	}},
	{"an isolated node fences", "cut off and fences", []edit{
		{"../lease/authority.go", `if err := a.Keeper.Refresh(ctx); err != nil {`, `if err := error(nil); err != nil {`},
		{"../take.go", `if s.Store.Value.Live[claim.Holder] == claim.BootID && !slices.ContainsFunc(`, `if false && !slices.ContainsFunc(`},
	}},
	{"the store is not compared", "while", []edit{
		{"../lease/take.go", `if was.Revision != t.Was.Revision {`, `if false {`},
		{"../lease/take.go", `if t.Epoch != was.Epoch+1 {`, `if false {`},
		{"../lease/take.go", `if err := k.proven(t, was, v); err != nil {`, `if err := error(nil); err != nil {`},
	}},
	{"a failed start is left half up", "after everything is mended", []edit{
		{"../loop/flight.go", `m.Failed, m.Retry = "cannot take it up here: "+o.err.Error(), time.Time{}`, `m.Retry = time.Now().Add(time.Hour)`},
	}},
}

// edit replaces one text of a source file, which must stand there exactly once.
type edit struct{ file, old, new string }

// TestPlanted builds the search once for each planted bug and runs it until the bug
// is found. One of them is planted with every test; all take some minutes.
func TestPlanted(t *testing.T) {
	for _, p := range plants {
		if *plant != "all" && !strings.Contains(p.name, *plant) {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			dir := t.TempDir()
			began := time.Now()
			bin := filepath.Join(dir, "planted.test")
			build := exec.Command("go", "test", "-c", "-overlay", overlay(t, dir, p.edit), "-o", bin, ".")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			run := exec.Command(bin, "-test.run", "TestSimulation", "-stop", "-seeds", "200", "-test.parallel", "2")
			out, err := run.CombinedOutput()
			if err == nil {
				t.Fatalf("200 runs did not find it:\n%s", tail(out))
			}
			line := ""
			for l := range strings.Lines(string(out)) {
				if strings.Contains(l, "VIOLATION") && strings.Contains(l, p.say) {
					line = strings.TrimSpace(l)
					break
				}
			}
			if line == "" {
				t.Fatalf("it failed for another reason:\n%s", tail(out))
			}
			t.Logf("found after %s and %d runs: %s", time.Since(began).Round(100*time.Millisecond), strings.Count(string(out), "seeds 1 -seed"), line)
		})
	}
}

// overlay writes the edited sources and the compiler's list of them.
func overlay(t *testing.T, dir string, edits []edit) string {
	t.Helper()
	texts := map[string]string{}
	for _, e := range edits {
		path, err := filepath.Abs(e.file)
		if err != nil {
			t.Fatal(err)
		}
		if texts[path] == "" {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = string(b)
		}
		if n := strings.Count(texts[path], e.old); n != 1 {
			t.Fatalf("%s has %d times %q: the plant no longer fits the source", e.file, n, e.old)
		}
		texts[path] = strings.Replace(texts[path], e.old, e.new, 1)
	}
	replace := map[string]string{}
	for path, text := range texts {
		f, err := os.CreateTemp(dir, "*.go")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		replace[path] = f.Name()
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return list
}

func tail(out []byte) []byte { return out[max(0, len(out)-3000):] }
