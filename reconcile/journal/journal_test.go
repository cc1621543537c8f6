package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustOpen(t testing.TB, dir string, o Options) *Journal {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func mustRecords(t testing.TB, j *Journal, f Filter) []Record {
	t.Helper()
	rs, err := j.Records(f)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// whys is the sentences of records, which the tests use as names.
func whys(rs []Record) []string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Why)
	}
	return out
}

func say(t testing.TB, j *Journal, why string) {
	t.Helper()
	if err := j.Append(Record{Kind: Seen, Why: why}); err != nil {
		t.Fatal(err)
	}
}

func TestRecordSurvivesReopening(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	want := Record{
		At: time.Date(2026, 11, 22, 3, 4, 5, 6, time.UTC), Group: "dce", Kind: Failed,
		Role: "takeover", FromRole: "standby", Event: "broken", Why: "the claim is ours <&>\n\"and\" ü",
		Plan: "7f3a2c", Step: "mount /krb5", N: 4, Of: 11, Took: 1234567, Err: "busy\x00",
		Facts: map[string]string{"pid": "17", "": "no name"},
	}
	j := mustOpen(t, dir, Options{Node: "beta", BootID: "b1"})
	if err := j.AppendSync(want); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(want); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	j = mustOpen(t, dir, Options{Node: "beta", BootID: "b2"})
	say(t, j, "second")
	want.Node, want.BootID, want.Seq = "beta", "b1", 1
	got := mustRecords(t, j, Filter{})
	if len(got) != 2 {
		t.Fatalf("%d records, want 2: %v", len(got), got)
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("changed on the way (+):\n%s", diff)
	}
	if got[1].Seq != 2 || got[1].BootID != "b2" || got[1].At.IsZero() {
		t.Errorf("the second record is %+v", got[1])
	}
	for _, path := range []string{dir, j.path(0)} {
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v, %v", path, fi.Mode(), err)
		}
	}
}

func TestOneWriterOnly(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, errLocked) {
		t.Errorf("a second writer: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir, Options{})
}

func TestFilter(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Options{})
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 10 {
		r := Record{At: at.Add(time.Duration(i) * time.Hour), Kind: []Kind{Seen, Decided}[i%2], Group: []string{"a", "b", ""}[i%3], Why: fmt.Sprint(i)}
		if err := j.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		f    Filter
		want string
	}{
		{"all", Filter{}, "0123456789"},
		{"group", Filter{Group: "a"}, "0369"},
		{"kinds", Filter{Kinds: []Kind{Decided, Done}}, "13579"},
		{"since", Filter{Since: at.Add(7 * time.Hour)}, "789"},
		{"after", Filter{After: 8}, "89"},
		{"last", Filter{Last: 3}, "789"},
		{"last of a group", Filter{Group: "b", Last: 2}, "47"},
		{"last of few", Filter{Group: "b", Last: 20}, "147"},
		{"none", Filter{Group: "z"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(whys(mustRecords(t, j, c.f)), ""); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			byReader, err := collect(Read(j.dir, c.f))
			if got := strings.Join(whys(byReader), ""); err != nil || got != c.want {
				t.Errorf("a reader got %s, %v, want %s", got, err, c.want)
			}
		})
	}
	n := 0
	for range j.All(Filter{}) {
		if n++; n == 4 {
			break // must neither go on nor panic
		}
	}
	for range j.All(Filter{Last: 5}) {
		break
	}
}

func TestReadWithoutAJournal(t *testing.T) {
	rs, err := collect(Read(filepath.Join(t.TempDir(), "none"), Filter{}))
	if err != nil || len(rs) != 0 {
		t.Errorf("got %v, %v", rs, err)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{MaxSize: 2000, Files: 3})
	for i := range 200 {
		say(t, j, fmt.Sprint(i))
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 3 {
		t.Fatalf("files: %v, %v", names, err)
	}
	for _, n := range names {
		if fi, err := os.Stat(n); err != nil || fi.Size() > 2000 {
			t.Errorf("%s: %v, %v", n, fi.Size(), err)
		}
	}
	rs := mustRecords(t, j, Filter{})
	if len(rs) < 20 || rs[len(rs)-1].Why != "199" {
		t.Fatalf("%d records, the last %v", len(rs), rs[len(rs)-1])
	}
	for i := 1; i < len(rs); i++ {
		if rs[i].Seq != rs[i-1].Seq+1 {
			t.Fatalf("%d follows %d", rs[i].Seq, rs[i-1].Seq)
		}
	}

	// A crash between two renames leaves a gap, or an empty present file.
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, logName+".1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, logName), filepath.Join(dir, logName+".1")); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, dir, Options{MaxSize: 2000, Files: 3})
	say(t, j, "on")
	got := mustRecords(t, j, Filter{Last: 2})
	if got[0].Why != "199" || got[1].Seq != 201 {
		t.Errorf("after a crash in rotation: %+v", got)
	}

	// Fewer files are kept from now on.
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, dir, Options{MaxSize: 2000, Files: 1})
	for i := range 50 {
		say(t, j, fmt.Sprint(i))
	}
	names, _ = filepath.Glob(filepath.Join(dir, "*"))
	if len(names) != 1 {
		t.Errorf("files: %v", names)
	}
	if rs := mustRecords(t, j, Filter{}); rs[len(rs)-1].Why != "49" {
		t.Errorf("the last record is %+v", rs[len(rs)-1])
	}
}

func TestSomebodyTakesTheFileAway(t *testing.T) {
	for name, take := range map[string]func(path string) error{
		"deleted": os.Remove,
		"moved":   func(p string) error { return os.Rename(p, p+".away") },
		"replaced": func(p string) error {
			return errors.Join(os.Remove(p), os.WriteFile(p, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := mustOpen(t, t.TempDir(), Options{})
			say(t, j, "before")
			if err := take(j.path(0)); err != nil {
				t.Fatal(err)
			}
			say(t, j, "after")
			rs := mustRecords(t, j, Filter{})
			if len(rs) != 2 || rs[0].Kind != Note || rs[1].Why != "after" || rs[1].Seq != 3 {
				t.Errorf("records: %+v", rs)
			}
		})
	}
}

func TestDamageInTheMiddleIsSkippedWithANote(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{})
	for _, s := range []string{"one", "two", "three", "four"} {
		say(t, j, s)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(j.path(0))
	if err != nil {
		t.Fatal(err)
	}
	b = []byte(strings.Replace(strings.Replace(string(b), "two", "twO", 1), "three", "th\nre", 1))
	if err := os.WriteFile(j.path(0), b, 0o600); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, dir, Options{})
	say(t, j, "five")
	got := mustRecords(t, j, Filter{Group: "", Kinds: []Kind{Seen}})
	if len(got) != 4 || got[0].Why != "one" || got[1].Kind != Note || got[2].Why != "four" || got[3].Why != "five" {
		t.Fatalf("records: %+v", got)
	}
	if got[1].Facts["lines"] != "3" || got[1].Facts["file"] != logName {
		t.Errorf("the note says %+v", got[1])
	}
	if after, err := os.ReadFile(j.path(0)); err != nil || !strings.HasPrefix(string(after), string(b)) {
		t.Errorf("what was damaged in the middle was changed: %v", err)
	}
}

func TestDamagedFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range maxDamaged + 3 {
		if err := os.WriteFile(filepath.Join(dir, logName), fmt.Appendf(nil, "torn %d", i), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := mustOpen(t, dir, Options{Log: slog.New(slog.DiscardHandler)}).Close(); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.damaged"))
	if err != nil || len(names) != maxDamaged {
		t.Errorf("%d damaged files, want %d (%v)", len(names), maxDamaged, err)
	}
	rs, err := collect(Read(dir, Filter{}))
	if err != nil || len(rs) != 2 || !strings.Contains(rs[1].Why, "oldest") {
		t.Errorf("records: %+v, %v", rs, err)
	}
}

func TestLongTextIsCut(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Options{})
	facts := map[string]string{}
	for i := range 100 {
		facts[fmt.Sprintf("%03d", i)] = strings.Repeat("\x01", 10000)
	}
	long := strings.Repeat("\x01ü", 1<<20)
	if err := j.Append(Record{
		Kind: Kind(long), BootID: long, Node: long, Group: long, Role: long, FromRole: long,
		Event: long, Why: long, Plan: long, Step: long, Err: long, Facts: facts,
	}); err != nil {
		t.Fatal(err)
	}
	if j.size > maxLine {
		t.Errorf("a line of %d bytes is longer than %d", j.size, maxLine)
	}
	say(t, j, "next")
	rs := mustRecords(t, j, Filter{})
	if len(rs) != 2 || len(rs[0].Err) > maxText || !strings.HasSuffix(rs[0].Err, "bytes cut)") || strings.ContainsRune(rs[0].Err, '\ufffd') {
		t.Fatalf("%d records, the error has %d bytes", len(rs), len(rs[0].Err))
	}
	if len(rs[0].Facts) != maxFactCount || rs[0].Facts["…"] != "69 more facts cut" {
		t.Errorf("%d facts, %q", len(rs[0].Facts), rs[0].Facts["…"])
	}
}

func TestManyWritersAndReaders(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Options{MaxSize: 64 << 10, Files: 64})
	const writers, each = 8, 100
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				r := Record{Kind: Seen, Group: fmt.Sprint(w), N: i}
				add := j.Append
				if i%50 == 0 {
					add = j.AppendSync
				}
				if err := add(r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 20 {
				var before uint64
				for r, err := range j.All(Filter{}) {
					if err != nil || r.Seq != before+1 {
						t.Errorf("%d follows %d (%v)", r.Seq, before, err)
						return
					}
					before = r.Seq
				}
				for r, err := range Read(j.dir, Filter{}) {
					if err != nil || r.Kind != Seen {
						t.Errorf("a reader beside the writer: %+v, %v", r, err)
						return
					}
				}
				_ = j.State()
			}
		})
	}
	wg.Wait()
	next := map[string]int{}
	rs := mustRecords(t, j, Filter{})
	for i, r := range rs {
		if r.Seq != uint64(i+1) || r.N != next[r.Group] {
			t.Fatalf("record %d: %+v, want number %d of the group", i, r, next[r.Group])
		}
		next[r.Group]++
	}
	if len(rs) != writers*each {
		t.Errorf("%d records, want %d", len(rs), writers*each)
	}
}
