// Package packaging is what a package of understudy installs beside the program, for
// those parts of the program that show it at work.
//
// It decides nothing and calls nothing.
//
// Who calls it: cmd/internal/vmlab, whose machines run these units.
package packaging

import _ "embed"

// The units of systemd: of the resident service, and of the witness.
var (
	//go:embed understudy.service
	Service string
	//go:embed understudy-witness.service
	Witness string
)
