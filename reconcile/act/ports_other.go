//go:build !linux

package act

import (
	"context"

	"understudy/config"
)

// awaitPortsFree does not look at ports on this system: the processes being gone
// is all that is known.
func (h *Host) awaitPortsFree(context.Context, string, config.Application) error { return nil }
