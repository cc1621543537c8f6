package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestTornAtEveryOffset cuts the file of a journal at every byte, as a crash in
// the middle of a write does.
func TestTornAtEveryOffset(t *testing.T) {
	texts := []string{"one", "", "dreißig ü \n"}
	whole, ends := written(t, t.TempDir(), texts)
	for cut := range int64(len(whole) + 1) {
		checkTorn(t, t.TempDir(), whole, ends, texts, cut)
	}
}

func TestTornAnywhere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		texts := rapid.SliceOfN(rapid.StringN(0, 40, -1), 1, 20).Draw(rt, "texts")
		whole, ends := written(rt, filepath.Join(dir, "whole"), texts)
		cut := rapid.Int64Range(0, int64(len(whole))).Draw(rt, "cut")
		checkTorn(rt, dir, whole, ends, texts, cut)
	})
}

// fataler is the part of testing.TB that rapid.T has too.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// written is the file of a journal with one record for each text, and where
// each record ends, beginning with zero.
func written(t fataler, dir string, texts []string) (whole []byte, ends []int64) {
	t.Helper()
	j, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ends = []int64{0}
	for _, s := range texts {
		if err := j.Append(Record{Kind: Seen, Why: s}); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, j.size)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err = os.ReadFile(j.path(0))
	if err != nil {
		t.Fatal(err)
	}
	return whole, ends
}

func checkTorn(t fataler, dir string, whole []byte, ends []int64, texts []string, cut int64) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, logName), whole[:cut], 0o600); err != nil {
		t.Fatal(err)
	}
	complete := 0
	for complete < len(texts) && cut >= ends[complete+1]-1 { // only the end of line may be missing
		complete++
	}
	torn := max(0, cut-ends[complete])

	j, err := Open(dir, Options{})
	if err != nil {
		t.Fatalf("cut at %d: %v", cut, err)
	}
	if err := j.Append(Record{Kind: Seen, Why: "on"}); err != nil {
		t.Fatal(err)
	}
	got, err := j.Records(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	want := append([]string{}, texts[:complete]...)
	if torn > 0 {
		want = append(want, fmt.Sprintf("the journal ended in %d bytes that are no record, as a crash leaves them; they were moved to journal.0001.damaged", torn))
		aside, err := os.ReadFile(filepath.Join(dir, "journal.0001.damaged"))
		if err != nil || string(aside) != string(whole[cut-torn:cut]) {
			t.Fatalf("cut at %d: %q was moved aside, %v", cut, aside, err)
		}
	}
	want = append(want, "on")
	if diff := cmp.Diff(want, whys(got)); diff != "" {
		t.Fatalf("cut at %d of %d (+):\n%s", cut, len(whole), diff)
	}
	for i, r := range got {
		if r.Seq != uint64(i+1) {
			t.Fatalf("cut at %d: record %d has number %d", cut, i, r.Seq)
		}
	}
}
