package main

import (
	"bytes"
	"compress/gzip"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"understudy/config"
	"understudy/reconcile/journal"
)

// bundle is a file with the profiles of the user's own that it uses, as it travels
// from node to node through the store and is kept beside the journal.
type bundle struct {
	File     []byte            `json:"file"`
	Profiles map[string][]byte `json:"profiles,omitempty"` // by name
}

// bundleLimit bounds a bundle unpacked, in bytes: 4 MiB of file and as much of profiles.
const bundleLimit = 16 << 20

// bundleCipher is the cipher for bundles: whoever can write to a store that others run must
// not be able to give a node a file, which is run as root, nor read the one it has.
func bundleCipher(key []byte) (cipher.AEAD, error) {
	d := hmac.New(sha256.New, key)
	d.Write([]byte("understudy file 1"))
	block, err := aes.NewCipher(d.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// packed is a bundle as it is compressed: as text, which packs to two thirds of what the
// base64 of encoding/json does. A checked file is UTF-8, which TOML demands.
type packed struct {
	File     string            `json:"file"`
	Profiles map[string]string `json:"profiles,omitempty"`
}

// seal packs a bundle for the store.
func (b *bundle) seal(key []byte, cluster string) ([]byte, error) {
	p := packed{File: string(b.File), Profiles: map[string]string{}}
	for name, data := range b.Profiles {
		p.Profiles[name] = string(data)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if err := json.NewEncoder(z).Encode(p); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	a, err := bundleCipher(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, a.NonceSize())
	_, _ = rand.Read(nonce) // it never fails
	return a.Seal(nonce, nonce, out.Bytes(), []byte(cluster)), nil
}

// unseal unpacks what seal made with one of the keys. Nothing of it is looked at before
// it is known to come from a machine of the cluster.
func unseal(keys [][]byte, cluster string, sealed []byte) (*bundle, error) {
	var plain []byte
	err := errors.New("cannot open the file in the store: it was not sealed with a key of this cluster")
	for _, key := range keys {
		a, wrong := bundleCipher(key)
		if wrong != nil || len(sealed) < a.NonceSize() {
			continue
		}
		if plain, wrong = a.Open(nil, sealed[:a.NonceSize()], sealed[a.NonceSize():], []byte(cluster)); wrong == nil {
			err = nil
			break
		}
	}
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(plain))
	if err != nil {
		return nil, fmt.Errorf("cannot unpack the file in the store: %w", err)
	}
	var p packed
	if err := json.NewDecoder(io.LimitReader(z, bundleLimit)).Decode(&p); err != nil {
		return nil, fmt.Errorf("cannot unpack the file in the store: %w", err)
	}
	b := &bundle{File: []byte(p.File), Profiles: map[string][]byte{}}
	for name, data := range p.Profiles {
		b.Profiles[name] = []byte(data)
	}
	return b, nil
}

// parse checks a bundle as if it lay where c's file does.
func (c *common) parse(b *bundle) (*config.Config, error) {
	own := map[string]config.ProfileFile{}
	for name, data := range b.Profiles {
		if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("cannot use a profile named %q", name)
		}
		own[name] = config.ProfileFile{File: c.profilePath(name), Data: data}
	}
	return config.ParseWith(c.config, b.File, own)
}

func (c *common) profilePath(name string) string {
	return filepath.Join(filepath.Dir(c.config), profilesFolder, name+".toml")
}

// onDisk is the file as it lies there, with those of the profiles beside it that it uses.
func (c *common) onDisk() (*bundle, *config.Config, error) {
	data, err := c.readConfig()
	if err != nil {
		return nil, nil, err
	}
	own, err := c.readProfiles()
	if err != nil {
		return nil, nil, err
	}
	cfg, err := config.ParseWith(c.config, data, own)
	if err != nil {
		return nil, nil, err
	}
	return newBundle(cfg, data, own), cfg, nil
}

func newBundle(cfg *config.Config, data []byte, own map[string]config.ProfileFile) *bundle {
	b := &bundle{File: data, Profiles: map[string][]byte{}}
	for name, p := range own {
		for _, used := range cfg.ProfileFiles {
			if p.File == used {
				b.Profiles[name] = p.Data
			}
		}
	}
	return b
}

// inForceState is the name under which the file in force is kept beside the journal: it
// says what may be on this host, whatever the file on disk says by then.
const inForceState = "file"

func (c *common) keepInForce(b *bundle) error { return journal.SaveState(c.stateDir, inForceState, b) }

// lastInForce is the file by which this host was last run, nil if none is known, or none
// that this program understands.
func (c *common) lastInForce() (*bundle, *config.Config) {
	var b bundle
	if found, err := journal.LoadState(c.stateDir, inForceState, &b); err != nil || !found {
		return nil, nil
	}
	cfg, err := c.parse(&b)
	if err != nil {
		return nil, nil
	}
	return &b, cfg
}

// stagePath is where a file that is to come waits, beside the one that is there.
func stagePath(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".next")
}

// files are the paths that a bundle is written to, links followed.
func (c *common) files(b *bundle) (map[string][]byte, error) {
	out := map[string][]byte{}
	add := func(path string, data []byte) error {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		out[path] = data
		return nil
	}
	if err := add(c.config, b.File); err != nil {
		return nil, err
	}
	for name, data := range b.Profiles {
		if err := add(c.profilePath(name), data); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// stage writes a bundle durably beside what is there.
func (c *common) stage(b *bundle) error {
	files, err := c.files(b)
	if err != nil {
		return err
	}
	for path, data := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := writeSynced(stagePath(path), data, 0o600); err != nil {
			return fmt.Errorf("cannot write the changed file beside the one that is there: %w", err)
		}
	}
	return nil
}

// unstage takes back what stage wrote.
func (c *common) unstage() {
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(c.config), profilesFolder, ".*.toml.next"))
	if err != nil {
		return
	}
	if real, err := filepath.EvalSymlinks(c.config); err == nil {
		paths = append(paths, stagePath(real))
	}
	for _, p := range paths {
		_ = os.Remove(p)
	}
}

// install puts a bundle where the file lies; the profiles come first, and what lay there
// is kept as a file of that name and ".before".
func (c *common) install(b *bundle) error {
	if err := c.stage(b); err != nil {
		return err
	}
	files, err := c.files(b)
	if err != nil {
		return err
	}
	main, err := filepath.EvalSymlinks(c.config)
	if err != nil {
		main = c.config
	}
	put := func(path string, data []byte) error {
		mode := fs.FileMode(0o644)
		if info, err := os.Stat(path); err == nil {
			mode = info.Mode().Perm()
		}
		if was, err := os.ReadFile(path); err == nil && !bytes.Equal(was, data) {
			if err := writeSynced(path+".before", was, 0o600); err != nil {
				return err
			}
		}
		if err := os.Chmod(stagePath(path), mode); err != nil {
			return err
		}
		if err := os.Rename(stagePath(path), path); err != nil {
			return err
		}
		return syncFolder(filepath.Dir(path))
	}
	if len(files) == 1 {
		return put(main, b.File)
	}
	// A power cut may leave some of them old and some new: the next start puts the rest.
	was, err := os.ReadFile(main)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := journal.SaveState(c.stateDir, installState, &installing{Bundle: b, Was: was}); err != nil {
		return err
	}
	for path, data := range files {
		if path != main {
			if err := put(path, data); err != nil {
				return err
			}
		}
	}
	if err := put(main, b.File); err != nil {
		return err
	}
	return journal.SaveState(c.stateDir, installState, &installing{})
}

// installState is the name under which is kept what is being put where the file lies.
const installState = "install"

// installing is a bundle of several files that are put in their places one after the
// other, and what the main one was before. The zero value: none is.
type installing struct {
	Bundle *bundle `json:"bundle,omitempty"`
	Was    []byte  `json:"was,omitempty"`
}

// finishInstall puts the rest of a bundle where the files lie, if the program or its host
// ended in the middle of that. A main file that a person has changed since is left alone.
// It is called before anything is read, by a start that is to serve.
func (c *common) finishInstall() error {
	if _, err := os.Stat(c.stateDir); err != nil {
		return nil // nothing was ever kept
	}
	if err := trust(c.stateDir); err != nil {
		return err
	}
	var half installing
	if found, err := journal.LoadState(c.stateDir, installState, &half); err != nil || !found || half.Bundle == nil {
		return nil // one that is damaged is told and set aside; the files are as they are
	}
	is, err := os.ReadFile(c.config)
	if err != nil {
		return err
	}
	if !bytes.Equal(is, half.Was) && !bytes.Equal(is, half.Bundle.File) {
		return journal.SaveState(c.stateDir, installState, &installing{})
	}
	return c.install(half.Bundle)
}

func writeSynced(path string, data []byte, mode fs.FileMode) error {
	_ = os.Remove(path) // never through a link, nor with the rights of what was there
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync())
	err = errors.Join(err, f.Close())
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
