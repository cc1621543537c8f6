//go:build linux

package vmlab

import (
	"context"
	"strings"
)

// probed adds to the group's application a probe that writes to the disk, and has a
// host reset that cannot let go.
func probed(group string) string {
	group = strings.Replace(group, "failovers = 0\n", "failovers = 0\nrestarts  = 0\non_release_failure = \"self-fence\"\n", 1)
	return group + `probe = ["/bin/sh", "-c", "date >/srv/data/probe && sync /srv/data/probe"]
probe_interval = "5s"
probe_limit    = "15s"
`
}

// ioScenario: the disk of the owner takes no write any more. Its service hangs, cannot
// be stopped, and the host resets itself; the other one takes over.
func ioScenario(ctx context.Context, s *Stage) error {
	p, err := s.begin(ctx, probed(sharedGroup))
	if err != nil {
		return err
	}
	s.title("the shared disk does not answer n1, the owner, any more")
	if err := p.mark(ctx); err != nil {
		return err
	}
	if err := s.HangDisks("n1", true); err != nil {
		return err
	}
	if err := p.tookOver(ctx, "n2", ""); err != nil {
		return err
	}
	if err := s.prove(ctx, claim{"the history", "n2", "understudy history data 2>&1 | tail -12", "n1"}); err != nil {
		return err
	}
	return p.finish(ctx, "n1", "n2")
}
