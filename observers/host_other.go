//go:build !linux && !aix

package observers

import (
	"context"
	"errors"
	"fmt"
	"os"

	"understudy/reconcile"
)

// BootID is not supported on this system.
func BootID() (string, error) {
	return "", fmt.Errorf("cannot read the boot id: %w on this system", errors.ErrUnsupported)
}

func hostname(context.Context) (string, error) { return os.Hostname() }

type noVolumes struct{}

func (noVolumes) Look(context.Context, []string) ([]reconcile.VolumeState, error) {
	return nil, fmt.Errorf("cannot read volume groups: %w on this system", errors.ErrUnsupported)
}

func newVolumes(func()) volumeObserver { return noVolumes{} }

func (h *Host) systemWatches() []aWatch { return nil }
