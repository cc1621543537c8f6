//go:build unix

package site

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	look "understudy/observers/site"
	"understudy/reconcile/prepare"
)

// Do makes one change to the system whose files lie in root ("" or "/": this host).
// Made twice, the second time changes nothing. On an error nothing has changed, or all
// of the change is there and is told not to be durable.
func Do(ctx context.Context, root string, c prepare.Change) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var err error
	switch c := c.(type) {
	case prepare.MakeDir:
		err = makeDir(root, c)
	case prepare.MakeLink:
		err = makeLink(root, c)
	case prepare.SetVariable:
		err = edit(root, c.Path, func(text []byte) ([]byte, error) { return prepare.PutVariable(text, c.Key, c.Value) })
	case prepare.AddService:
		err = edit(root, c.Path, func(text []byte) ([]byte, error) { return prepare.PutService(text, c.Line) })
	case prepare.SetOptions:
		err = edit(root, c.Path, func(text []byte) ([]byte, error) { return prepare.PutLine(text, c.Line, c.Was, c.Now) })
	case prepare.WriteKey:
		err = writeKey(root, c.Path)
	default:
		err = fmt.Errorf("no such change: %T", c)
	}
	if err != nil {
		return fmt.Errorf("cannot %s: %w", c.Text(), err)
	}
	return nil
}

// makeDir makes a directory with those above it; what is there stays as it is.
func makeDir(root string, c prepare.MakeDir) error {
	name, err := look.Resolve(root, c.Path, true)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return errors.New("something else is there — move it away")
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	if err := parents(name); err != nil {
		return err
	}
	if err := os.Mkdir(name, os.FileMode(c.Mode)); err != nil {
		return err
	}
	return errors.Join(os.Chmod(name, os.FileMode(c.Mode)), sync(filepath.Dir(name))) // whatever the umask
}

// parents makes the folders above a name.
func parents(name string) error {
	dir := filepath.Dir(name)
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := parents(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return errors.Join(os.Chmod(dir, 0o755), sync(filepath.Dir(dir)))
}

// makeLink makes a link, or puts it in the place of another link in one step.
func makeLink(root string, c prepare.MakeLink) error {
	name, err := look.Resolve(root, c.Path, false)
	if err != nil {
		return err
	}
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case info.Mode()&os.ModeSymlink == 0:
		return errors.New("something else than a link is there — move it away")
	default:
		if now, err := os.Readlink(name); err != nil || now == c.Target {
			return err
		}
	}
	temp := tempName(name)
	if err := os.Symlink(c.Target, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, name); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if now, err := os.Readlink(name); err != nil || now != c.Target {
		return errors.Join(err, fmt.Errorf("it leads to %q afterwards — something else changes it", now))
	}
	return sync(filepath.Dir(name))
}

// edit replaces a file by what change makes of its text. The file keeps owner, mode
// and labels; one that is not there is made, for all to read.
func edit(root, path string, change func([]byte) ([]byte, error)) error {
	name, err := look.Resolve(root, path, true)
	if err != nil {
		return err
	}
	before, err := os.Lstat(name)
	mode, uid, gid := os.FileMode(0o644), -1, -1
	var old []byte
	switch {
	case errors.Is(err, os.ErrNotExist):
		before = nil
	case err != nil:
		return err
	case !before.Mode().IsRegular():
		return errors.New("it is no file")
	default:
		mode = before.Mode().Perm() | before.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky)
		if st, ok := before.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(st.Uid), int(st.Gid)
		}
		if old, err = os.ReadFile(name); err != nil {
			return err
		}
	}
	text, err := change(old)
	if err != nil {
		return err
	}
	if before != nil && string(text) == string(old) {
		return nil
	}
	if before == nil {
		if err := parents(name); err != nil {
			return err
		}
	}
	temp, err := write(name, text, mode, uid, gid)
	if err != nil {
		return err
	}
	keep := func() error {
		if before == nil {
			return nil
		}
		copyLabels(name, temp)
		now, err := os.Lstat(name)
		if err == nil && (!os.SameFile(before, now) || !now.ModTime().Equal(before.ModTime()) || now.Size() != before.Size()) {
			err = errors.New("somebody else has changed it meanwhile — try again")
		}
		return err
	}
	if err := keep(); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, name); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if now, err := os.ReadFile(name); err != nil || string(now) != string(text) {
		return errors.Join(err, errors.New("it reads otherwise afterwards — something else writes it"))
	}
	return sync(filepath.Dir(name))
}

// writeKey makes a key where none is. It is put in its place with link(2), which
// replaces nothing.
func writeKey(root, path string) error {
	name, err := look.Resolve(root, path, true)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(name); err == nil {
		return errors.New("a file is there already — it is never replaced")
	}
	if err := parents(name); err != nil {
		return err
	}
	var key [prepare.KeySize]byte
	_, _ = rand.Read(key[:]) // never fails
	temp, err := write(name, []byte(base64.StdEncoding.EncodeToString(key[:])+"\n"), 0o600, -1, -1)
	if err != nil {
		return err
	}
	err = os.Link(temp, name)
	return errors.Join(err, os.Remove(temp), sync(filepath.Dir(name)))
}

// tempMark is in the name of every file that is not in its place yet.
const tempMark = ".understudy-new-"

func tempName(name string) string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+tempMark+fmt.Sprintf("%x", b))
}

// write makes a whole, synced file beside a name. What a killed run has left there
// goes first.
func write(name string, text []byte, mode os.FileMode, uid, gid int) (temp string, err error) {
	left, _ := filepath.Glob(filepath.Join(globWord(filepath.Dir(name)), "."+globWord(filepath.Base(name))+tempMark+"*"))
	for _, l := range left {
		_ = os.Remove(l)
	}
	temp = tempName(name)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err == nil && uid >= 0 {
		err = f.Chown(uid, gid)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(temp))
	}
	return temp, nil
}

// globWord takes the meaning from what filepath.Match gives one.
func globWord(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

// sync makes what was done in a directory last.
func sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
