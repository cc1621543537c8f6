//go:build linux || aix

package act

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"understudy/reconcile"
)

// savedHostnameFile holds the host name to be put back, while another is set.
const savedHostnameFile = "hostname.saved"

// SavedHostname is the host name that is to be put back, "" if none is. It is
// read from disk, so that it outlives this program.
func (h *Host) SavedHostname() (string, error) {
	path := filepath.Join(h.opts.StateDir, savedHostnameFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the saved host name: %w", err)
	}
	name := strings.TrimSpace(string(b))
	if err := validHostname(name); err != nil {
		return "", fmt.Errorf("cannot use the saved host name in %s: %w — set the host name by hand and remove the file", path, err)
	}
	return name, nil
}

// setHostname saves the present name on disk and sets another. A name that was
// saved before stays saved: it is the host's own, the present one may be a
// service's. See [reconcile.SetHostname].
func (h *Host) setHostname(s reconcile.SetHostname) error {
	h.naming.Lock()
	defer h.naming.Unlock()
	fail := func(err error) error { return fmt.Errorf("cannot set host name %s: %w", s.Name, err) }
	if err := validHostname(s.Name); err != nil {
		return fail(err)
	}
	present, err := hostname()
	if err != nil {
		return fail(err)
	}
	saved, err := h.SavedHostname()
	if err != nil {
		return fail(err)
	}
	if present == s.Name {
		return nil
	}
	if saved == "" {
		if err := validHostname(present); err != nil {
			return fail(fmt.Errorf("the present one could not be put back: %w", err))
		}
		if err := writeDurably(filepath.Join(h.opts.StateDir, savedHostnameFile), []byte(present+"\n")); err != nil {
			return fail(err)
		}
	}
	if err := sethostname(s.Name); err != nil {
		return fail(err)
	}
	if err := hostnameIs(s.Name); err != nil {
		return fail(err)
	}
	h.log.Info("host name set", "hostname", s.Name, "saved", present)
	return nil
}

// restoreHostname puts the saved name back and then forgets it. See
// [reconcile.RestoreHostname]; what is on disk counts, not the step's name.
func (h *Host) restoreHostname(reconcile.RestoreHostname) error {
	h.naming.Lock()
	defer h.naming.Unlock()
	saved, err := h.SavedHostname()
	if err != nil {
		return fmt.Errorf("cannot restore the host name: %w", err)
	}
	if saved == "" {
		return nil
	}
	fail := func(err error) error { return fmt.Errorf("cannot restore host name %s: %w", saved, err) }
	present, err := hostname()
	if err != nil {
		return fail(err)
	}
	if present != saved {
		if err := sethostname(saved); err != nil {
			return fail(err)
		}
		if err := hostnameIs(saved); err != nil {
			return fail(err)
		}
	}
	if err := removeDurably(filepath.Join(h.opts.StateDir, savedHostnameFile)); err != nil {
		return fail(err)
	}
	h.log.Info("host name restored", "hostname", saved, "was", present)
	return nil
}

// hostnameIs verifies the present host name.
func hostnameIs(want string) error {
	now, err := hostname()
	if err == nil && now != want {
		err = fmt.Errorf("it is %q afterwards — something else sets it", now)
	}
	return err
}

// validHostname refuses what is no host name (RFC 1123, 2.1; 64 bytes in Linux),
// and the placeholder that the guide's samples leave in a script nobody filled in.
func validHostname(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case name == "xxx":
		return errors.New(`"xxx" is a placeholder, not a name`)
	case len(name) > 64:
		return fmt.Errorf("%q is longer than 64 characters", name)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("%q is not a host name", name)
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				return fmt.Errorf("%q is not a host name", name)
			}
		}
	}
	return nil
}
