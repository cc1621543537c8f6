package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
)

// DamagedError says that a state file was there and could not be believed. What
// it held is unknown, which is not the same as never written.
type DamagedError struct {
	Path   string
	Aside  string // where it was moved, "" if it could not be
	Reason error
}

// Error names both paths.
func (e *DamagedError) Error() string {
	if e.Aside == "" {
		return fmt.Sprintf("cannot load %s: damaged: %v — move it away by hand", e.Path, e.Reason)
	}
	return fmt.Sprintf("cannot load %s: damaged: %v — it was moved to %s", e.Path, e.Reason, e.Aside)
}

// Unwrap is what was wrong with it.
func (e *DamagedError) Unwrap() error { return e.Reason }

// stateName keeps a name within its directory and apart from the journal's.
var stateName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

func statePath(dir, name string) (string, error) {
	if !stateName.MatchString(name) {
		return "", fmt.Errorf("cannot use %q as the name of a state file: want letters, digits, dot, dash and underscore", name)
	}
	return filepath.Join(dir, name+".state"), nil
}

// saving lets one save at a time use the file it prepares.
var saving sync.Mutex

// SaveState writes v as JSON with a checksum to the file of that name in dir,
// which it makes if need be (mode 0700). Once it returns without an error, v is
// found after a power cut too; with an error, what was there before is untouched.
// Two processes must not save the same name.
func SaveState(dir, name string, v any) error {
	path, err := statePath(dir, name)
	if err != nil {
		return err
	}
	line, err := seal(v)
	if err != nil {
		return fmt.Errorf("cannot encode state %s: %w", name, err)
	}
	saving.Lock()
	defer saving.Unlock()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot save state %s: %w", name, err)
	}
	next := path + ".new"
	if err := writeSynced(next, line); err != nil {
		return fmt.Errorf("cannot save state %s: %w", name, errors.Join(err, removeIfThere(next)))
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("cannot save state %s: %w", name, errors.Join(err, removeIfThere(next)))
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("cannot save state %s: %w", name, err)
	}
	return nil
}

// LoadState reads what was saved under name into v, which is untouched if there
// is nothing to be found. A damaged file is moved aside, so that the next save
// does not destroy it, and reported as a *[DamagedError]; v must not be used then.
func LoadState(dir, name string, v any) (found bool, err error) {
	path, err := statePath(dir, name)
	if err != nil {
		return false, err
	}
	line, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot load state %s: %w", name, err)
	}
	data, err := unseal(line)
	if err != nil {
		return false, setStateAside(path, errors.New("its checksum does not match"))
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, setStateAside(path, err)
	}
	return true, nil
}

func setStateAside(path string, reason error) error {
	e := &DamagedError{Path: path, Reason: reason}
	for i := 1; i <= 9999; i++ {
		aside := fmt.Sprintf("%s.%04d.damaged", path, i)
		if exists(aside) {
			continue
		}
		if os.Rename(path, aside) == nil {
			e.Aside = aside
		}
		break
	}
	return e
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes the names in a directory survive a power cut.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
