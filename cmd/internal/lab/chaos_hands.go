//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"understudy/cmd/internal/api"
)

// each does something to all nodes at once.
func (s *stint) each(do func(host string) error) error {
	errs := make([]error, len(s.nodes))
	var wg sync.WaitGroup
	for i, h := range s.nodes {
		wg.Go(func() { errs[i] = do(h) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// inside runs a command on a host.
func (s *stint) inside(ctx context.Context, host string, argv ...string) error {
	_, errs, code, err := s.l.Exec(ctx, host, argv...)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit %d: %s", code, strings.TrimSpace(errs))
	}
	return err
}

func storageHangs(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return func(ctx context.Context) error { return s.l.Unhang(ctx, f.host) },
		"storage of " + f.group.name + " hangs", s.l.Hang(ctx, f.host, f.group.mount)
}

// filler takes all room of a host's own disk.
const filler = stateInside + "/filler"

func ownDiskHangs(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return func(ctx context.Context) error { return s.l.Unhang(ctx, f.host) }, "", s.l.Hang(ctx, f.host, stateInside)
}

func ownDiskFull(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return func(ctx context.Context) error { return s.inside(ctx, f.host, "rm", "-f", filler) }, "",
		s.inside(ctx, f.host, "sh", "-c", "fallocate -l $(($(stat -f -c '%a * %S' "+stateInside+"))) "+filler+"; dd if=/dev/zero bs=4096 status=none >>"+filler+" 2>/dev/null; test -s "+filler)
}

func deviceGone(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	dev := fmt.Sprintf("/dev/shared%d", f.group.disk)
	return func(ctx context.Context) error { return s.inside(ctx, f.host, "mv", "-n", dev+".gone", dev) },
		dev + " is gone", s.inside(ctx, f.host, "mv", "-n", dev, dev+".gone")
}

func unmounted(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return nil, "umount -l " + f.group.mount, s.inside(ctx, f.host, "umount", "-l", f.group.mount)
}

func addressRemoved(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return nil, "ip address del " + f.group.address.String(), s.inside(ctx, f.host, "ip", "address", "del", f.group.address.String(), "dev", PublicNet)
}

func moved(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	to := f.host
	if s.holder(f.group.name) == to {
		to = s.nodes[(slices.Index(s.nodes, to)+1+f.n%(len(s.nodes)-1))%len(s.nodes)]
	}
	what := fmt.Sprintf("move %s to %s", f.group.name, to)
	c, err := s.client(ctx, to)
	if err == nil {
		err = c.Move(ctx, api.MoveRequest{Group: f.group.name, To: to, By: "chaos"})
	}
	return nil, what, err
}

func ordered(order string) func(context.Context, *stint, plannedFault) (undoing, string, error) {
	return func(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
		q := api.OrderRequest{Order: order, Object: f.host, By: "chaos", Reason: "chaos"}
		if order == "freeze" {
			q.Object = f.group.name
		}
		c, err := s.client(ctx, f.host)
		if err == nil {
			_, err = c.Order(ctx, q)
		}
		q.End = true
		return func(ctx context.Context) error {
			c, err := s.client(ctx, f.host)
			if err == nil {
				_, err = c.Order(ctx, q)
			}
			return err
		}, fmt.Sprintf("%s %s", order, q.Object), err
	}
}

func cleared(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	c, err := s.client(ctx, f.host)
	if err == nil {
		err = c.Clear(ctx, f.group.name)
	}
	return nil, "clear " + f.group.name, err
}
