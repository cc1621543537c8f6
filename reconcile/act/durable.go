//go:build linux || aix

package act

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// writeDurably replaces a file so that after a crash either the old or the new
// content is there.
func writeDurably(path string, data []byte) error { return write(path, data, true) }

// writeWhole replaces a file so that whoever reads it sees either the old or the
// new content, also after this program was killed. It does not wait for the disk:
// it is for what means nothing after a reboot.
func writeWhole(path string, data []byte) error { return write(path, data, false) }

func write(path string, data []byte, durably bool) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot save %s: %w", path, err)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".")
	if err != nil {
		return fmt.Errorf("cannot save %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("cannot save %s: %w", path, err)
		}
	}()
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if durably {
		if err := f.Sync(); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if !durably {
		return nil
	}
	return syncDir(dir)
}

// removeDurably removes a file, also across a crash. None is no error.
func removeDurably(path string) error {
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("cannot remove %s: %w", path, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
