package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is sealed comes back with any of the keys, and with none else; the largest file
// that we know of fits into the slots of a disk.
func TestSealedFileIsReadBack(t *testing.T) {
	data, err := os.ReadFile("../../config/reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	old, fresh := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	b := &bundle{File: data, Profiles: map[string][]byte{"own": []byte("start = [\"/bin/ä\"] # <&>\n")}}
	sealed, err := b.seal(old, "lab")
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) > 12<<10 {
		t.Errorf("the reference file has %d bytes when it is sealed", len(sealed))
	}
	got, err := unseal([][]byte{fresh, old}, "lab", sealed)
	if d := cmp.Diff(b, got); err != nil || d != "" {
		t.Errorf("%v: %s", err, d)
	}
	cut := bytes.Clone(sealed)
	cut[len(cut)/2] ^= 1
	for name, bad := range map[string]func() (*bundle, error){
		"another key":     func() (*bundle, error) { return unseal([][]byte{fresh}, "lab", sealed) },
		"another cluster": func() (*bundle, error) { return unseal([][]byte{old}, "other", sealed) },
		"a changed byte":  func() (*bundle, error) { return unseal([][]byte{old}, "lab", cut) },
		"nothing":         func() (*bundle, error) { return unseal([][]byte{old}, "lab", nil) },
	} {
		if got, err := bad(); err == nil || got != nil || !strings.Contains(err.Error(), "was not sealed with a key of this cluster") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
