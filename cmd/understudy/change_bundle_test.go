package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/journal"
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

// A file that is too large for the store counts when every node runs it; a node that has
// it not is told to copy it, and goes by it when it lies there.
func TestFileTooLargeForTheStoreCounts(t *testing.T) {
	reference, err := os.ReadFile("../../config/reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 400<<10)
	_, _ = rand.Read(noise)
	data := append([]byte("# "+hex.EncodeToString(noise)+"\n"), reference...)
	cfg, err := config.Parse("understudy.toml", data)
	if err != nil {
		t.Fatal(err)
	}
	store := &shelf{}
	key := make([]byte, 32)
	jr, err := journal.Open(t.TempDir(), journal.Options{Node: "alpha", BootID: "b1"})
	if err != nil {
		t.Fatal(err)
	}
	defer jr.Close()
	ch := &changer{node: "alpha", keys: [][]byte{key}, keeper: store, jr: jr, log: slog.New(slog.DiscardHandler)}
	if _, err := ch.seal(&bundle{File: data}, cfg); !errors.Is(err, errTooLarge) {
		t.Errorf("seal: %v", err)
	}
	ch.adopt(t.Context(), &reconcile.Snapshot{}, &bundle{File: data}, cfg, "the first that all nodes run")
	if store.put == nil || store.put.Hash != cfg.Hash || store.put.Sealed != nil {
		t.Fatalf("recorded: %+v", store.put)
	}
	c := &common{config: filepath.Join(t.TempDir(), "understudy.toml")}
	if _, _, err := c.counting(*store.put, ch.keys, cfg.Cluster); err == nil || !strings.Contains(err.Error(), "copy it here from a node that has it") {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(c.config, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if b, got, err := c.counting(*store.put, ch.keys, cfg.Cluster); err != nil || got.Hash != cfg.Hash || !bytes.Equal(b.File, data) {
		t.Errorf("with the file: %v", err)
	}
}
