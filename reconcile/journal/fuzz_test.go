package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzOpen opens a journal whose file holds anything: it is never fatal, no byte
// is lost, and what was a record is one still.
func FuzzOpen(f *testing.F) {
	good, err := encode(Record{Seq: 7, Kind: Seen, Why: "good"})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{
		"", "\n", "\n\n", string(good), string(good[:20]), string(good) + string(good[:20]),
		"xx\n" + string(good), string(good[:len(good)-1]), strings.Repeat("\x00", 4096),
		"00000000 {}\n", "00000000 \n",
	} {
		f.Add([]byte(s))
	}
	f.Add([]byte("!{\"seq\":3,\"why\":\"a\"}\n!{}\n![]\nxx\n!{\"seq\":18446744073709551615}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// A checksum is never met by chance: a line after "!" gets its own.
		var sealed []byte
		for line := range strings.Lines(string(data)) {
			if rest, ok := strings.CutPrefix(line, "!"); ok {
				line = fmt.Sprintf("%08x %s", crc32.Checksum([]byte(strings.TrimSuffix(rest, "\n")), castagnoli), rest)
			}
			sealed = append(sealed, line...)
		}
		data = sealed
		dir := t.TempDir()
		path := filepath.Join(dir, logName)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var want []string
		for line := range strings.Lines(string(data)) {
			if r, err := decode([]byte(line)); err == nil {
				want = append(want, r.Why)
			}
		}
		j, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("a damaged journal must never be fatal: %v", err)
		}
		defer j.Close()
		if err := j.Append(Record{Kind: Seen, Why: "on"}); err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		aside, err := os.ReadFile(filepath.Join(dir, "journal.0001.damaged"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if n := len(data) - len(aside); string(kept[:n]) != string(data[:n]) || string(aside) != string(data[n:]) {
			t.Errorf("%q became %q and %q", data, kept, aside)
		}
		rs, err := j.Records(Filter{})
		if err != nil {
			t.Fatal(err)
		}
		// What was good is there in its order, between notes of what was not.
		for _, r := range rs {
			if len(want) > 0 && r.Why == want[0] {
				want = want[1:]
			}
		}
		if len(want) > 0 {
			t.Errorf("%q: %q is missing from %q", data, want, whys(rs))
		}
		if last := rs[len(rs)-1]; last.Why != "on" || last.Seq == 0 {
			t.Errorf("%q: the new record is %+v", data, last)
		}
	})
}
