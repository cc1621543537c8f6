//go:build linux || aix

package act

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"understudy/reconcile"
)

// dirtyFile says which applications were started here that only a reboot ends.
const dirtyFile = "dirty.json"

// dirtyMark is the record of one group.
type dirtyMark struct {
	App    string `json:"app"`
	BootID string `json:"boot_id"`
}

// Dirty returns, by group, the boot in which an application was started that only a
// reboot of this host ends. It is read from disk, so that it outlives this program;
// a boot that has ended means nothing any more, and is for the caller to compare.
func (h *Host) Dirty() (map[string]string, error) {
	marks, err := h.dirtyMarks()
	if err != nil {
		return nil, err
	}
	boots := make(map[string]string, len(marks))
	for group, m := range marks {
		boots[group] = m.BootID
	}
	return boots, nil
}

func (h *Host) dirtyMarks() (map[string]dirtyMark, error) {
	path := filepath.Join(h.opts.StateDir, dirtyFile)
	way := "if this host has been rebooted since DFS ran last, remove the file; else reboot it"
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return map[string]dirtyMark{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what only a reboot ends: %w — %s", err, way)
	}
	marks := map[string]dirtyMark{}
	if err := json.Unmarshal(b, &marks); err != nil {
		return nil, fmt.Errorf("cannot use %s: %w — %s", path, err, way)
	}
	for group, m := range marks {
		if group == "" || m.BootID == "" {
			return nil, fmt.Errorf("cannot use %s: it names no group or no boot — %s", path, way)
		}
	}
	return marks, nil
}

// markDirty records durably that only a reboot of this host lets go of a group, and
// forgets what earlier boots had recorded. A record that cannot be read is not
// replaced: it may say of another group what nobody else knows. A disk that does not
// answer is not waited for longer than ctx: the lease may be lost meanwhile. See
// [reconcile.MarkDirty].
func (h *Host) markDirty(ctx context.Context, s reconcile.MarkDirty) error {
	return h.flights.do(ctx, "record what only a reboot ends", func() error { return h.writeDirty(s) }, nil)
}

func (h *Host) writeDirty(s reconcile.MarkDirty) error {
	h.marking.Lock()
	defer h.marking.Unlock()
	fail := func(err error) error {
		return fmt.Errorf("cannot record that %s of %s needs a reboot to end: %w", s.App, s.Group, err)
	}
	if s.Group == "" || s.BootID == "" {
		return fail(errors.New("the step names no group or no boot"))
	}
	marks, err := h.dirtyMarks()
	if err != nil {
		return fail(err)
	}
	if marks[s.Group].BootID == s.BootID {
		return nil
	}
	maps.DeleteFunc(marks, func(_ string, m dirtyMark) bool { return m.BootID != s.BootID })
	marks[s.Group] = dirtyMark{App: s.App, BootID: s.BootID}
	b, err := json.Marshal(marks)
	if err != nil {
		return fail(err)
	}
	if err := writeDurably(filepath.Join(h.opts.StateDir, dirtyFile), append(b, '\n')); err != nil {
		return fail(err)
	}
	if marks, err = h.dirtyMarks(); err != nil || marks[s.Group].BootID != s.BootID {
		return fail(errors.Join(errors.New("it does not stand in the record afterwards"), err))
	}
	h.log.Info("host marked as dirty", "group", s.Group, "app", s.App, "boot_id", s.BootID)
	return nil
}

// dirtyLeft names what was started for a group in this boot and ends only with it.
func (h *Host) dirtyLeft(group string) []string {
	marks, err := h.dirtyMarks()
	if err != nil {
		return []string{err.Error()}
	}
	m, ok := marks[group]
	if !ok {
		return nil
	}
	switch boot, err := bootID(); {
	case err != nil:
		return []string{fmt.Sprintf("whether %s was started in this boot is unknown (%v)", m.App, err)}
	case m.BootID == boot:
		return []string{fmt.Sprintf("%s was started in this boot and holds the disks until a reboot", m.App)}
	}
	return nil
}
