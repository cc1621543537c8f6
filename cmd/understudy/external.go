package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/observers/trigger"
	"understudy/reconcile"
	"understudy/reconcile/journal"
	"understudy/reconcile/loop"
)

// wordsFile is the name under which operators' words are kept in the state directory.
const wordsFile = "confirmed"

// ordersFile is the name under which operators' orders are kept there.
const ordersFile = "orders"

// outside stands where keeper and authority stand with a store of our own: another
// manager decides who may own, so that there is no lease, and what is left to be kept
// are the words of operators, on this node alone.
type outside struct {
	dir     string
	changes trigger.Trigger

	mu       sync.Mutex
	confirms map[string]reconcile.Confirmation // by node
	orders   map[string]reconcile.Request      // by key
}

var (
	_ keeper    = (*outside)(nil)
	_ authority = (*outside)(nil)
)

// openOutside reads what operators have said. Words that cannot be read are not
// believed: they are asked for again.
func openOutside(dir string, log *slog.Logger) *outside {
	o := &outside{dir: dir, changes: trigger.New(), confirms: map[string]reconcile.Confirmation{}, orders: map[string]reconcile.Request{}}
	if _, err := journal.LoadState(dir, wordsFile, &o.confirms); err != nil {
		log.Warn("operators' words were not readable", "err", err)
	}
	if o.confirms == nil {
		o.confirms = map[string]reconcile.Confirmation{}
	}
	if _, err := journal.LoadState(dir, ordersFile, &o.orders); err != nil {
		log.Warn("operators' orders were not readable", "err", err)
	}
	return o
}

// Lease implements loop.Lease: there is none.
func (o *outside) Lease() reconcile.Lease { return reconcile.Lease{} }

// View implements loop.Lease: the loop adds what is seen.
func (o *outside) View() reconcile.Seen[reconcile.StoreView] {
	o.mu.Lock()
	defer o.mu.Unlock()
	return reconcile.Read(reconcile.StoreView{Confirms: maps.Clone(o.confirms), Requests: o.inForce(time.Now())}, time.Now())
}

// Changes implements loop.Lease.
func (o *outside) Changes() <-chan struct{} { return o.changes }

// inForce are the orders that have not run out, by this host's clock.
func (o *outside) inForce(at time.Time) map[string]reconcile.Request {
	out := map[string]reconcile.Request{}
	for key, q := range o.orders {
		if at.Before(q.At.Add(q.Lasts)) {
			out[key] = q
		}
	}
	return out
}

// order keeps an order on this node, nil for its end. It returns when that outlives a
// power cut.
func (o *outside) order(key string, q *reconcile.Request) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := o.inForce(time.Now())
	delete(next, key)
	if q != nil {
		next[key] = *q
	}
	if err := journal.SaveState(o.dir, ordersFile, next); err != nil {
		return err
	}
	o.orders = next
	o.changes.Fire()
	return nil
}

// Withdraw implements keeper.
func (o *outside) Withdraw(_ context.Context, key string) error { return o.order(key, nil) }

// Ask implements keeper: nobody here can move a group.
func (o *outside) Ask(_ context.Context, q reconcile.Request) error {
	if q.Order == reconcile.Freeze {
		return o.order(q.Group, &q)
	}
	return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot move %s: with store external the other manager does — move it there", q.Group)}
}

// Confirm implements keeper. It returns when the word outlives a power cut.
func (o *outside) Confirm(_ context.Context, w reconcile.Confirmation) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := maps.Clone(o.confirms)
	next[w.Node] = w
	if err := journal.SaveState(o.dir, wordsFile, next); err != nil {
		return err
	}
	o.confirms = next
	o.changes.Fire()
	return nil
}

// Do implements authority: no plan has such a step.
func (o *outside) Do(_ context.Context, s reconcile.Step) (bool, error) {
	switch s.(type) {
	case reconcile.TakeClaim, reconcile.SignOff, reconcile.Fence:
		return true, fmt.Errorf("cannot %s with store external: the other manager decides who may own", s.Spec().Verb)
	}
	return false, nil
}

// wordLimit is how long the two words wait if nothing else is said.
const wordLimit = 5 * time.Minute

func releaseCommand(c *common) *cobra.Command {
	return wordCommand(c, &cobra.Command{
		Use:   "release GROUP",
		Short: "with store external: stop a group's applications, as its disks are about to go",
		Long: `With store = "external": tell understudy that the other manager is about to take
the group's addresses and disks away. Returns when its applications are stopped,
the host name is put back and the node's own file systems are unmounted; exit 0
means that nothing of understudy's is in the way. They stay down until the group
has been away, or until "understudy acquire". On a node without the group there
is nothing to do. Exit 4: everything is stopped, and what ran (DFS) holds the
disks until the host is rebooted.

This is for the scripts of the other manager, before it unmounts anything:
HACMP's stop script of the application server, keepalived's notify_backup and
notify_fault, the stop action of a Pacemaker resource that is ordered last.`,
	}, (*api.Client).Release)
}

func acquireCommand(c *common) *cobra.Command {
	return wordCommand(c, &cobra.Command{
		Use:   "acquire GROUP",
		Short: "with store external: start a group's applications and wait until it is served",
		Long: `With store = "external": tell understudy that the other manager has brought the
group's addresses and disks. What was released or has failed before is tried
again. Returns when the group is served, or with the reason why it is not.

Without this word the applications are started all the same as soon as all file
systems, aggregates and addresses are seen, unless the group was released.

This is for the scripts of the other manager, after it has mounted everything
and added the addresses: HACMP's start script of the application server,
keepalived's notify_master, the start action of a Pacemaker resource that is
ordered last.`,
	}, (*api.Client).Acquire)
}

func wordCommand(c *common, cmd *cobra.Command, say func(*api.Client, context.Context, api.WordRequest) error) *cobra.Command {
	limit := wordLimit
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit <= 0 {
			return &exitError{exitUsage, fmt.Sprintf("cannot wait for %s — give --limit a positive duration", limit)}
		}
		// The service answers at the limit; a dead one is not waited for.
		ctx, cancel := context.WithTimeout(cmd.Context(), limit+10*time.Second)
		defer cancel()
		return say(c.client(), ctx, api.WordRequest{Group: args[0], LimitMS: limit.Milliseconds()})
	}
	cmd.Flags().DurationVar(&limit, "limit", limit, "how long to wait")
	return cmd
}

// Release implements api.Service.
func (r *resident) Release(ctx context.Context, q api.WordRequest) error {
	err := r.word(ctx, q, r.loop.Release)
	if e, ok := errors.AsType[*loop.RebootNeededError](err); ok {
		return &api.Refusal{Code: exitBlocked, Text: e.Error()}
	}
	return err
}

// Acquire implements api.Service.
func (r *resident) Acquire(ctx context.Context, q api.WordRequest) error {
	return r.word(ctx, q, r.loop.Acquire)
}

func (r *resident) word(ctx context.Context, q api.WordRequest, say func(context.Context, string) error) error {
	g := r.config().Group(q.Group)
	switch {
	case g == nil:
		return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find group %q in the file", q.Group)}
	case !reconcile.IsExternal(r.config()):
		return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot take the word of another manager: store is %q, and understudy moves %s itself — see: understudy move --help", r.config().Lease.Store, q.Group)}
	case g.Priority(r.node) < 0:
		return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find group %q on %s: it is not one of its nodes", q.Group, r.node)}
	}
	if _, err := r.state(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(q.LimitMS)*time.Millisecond, errors.New("the limit has passed"))
	defer cancel()
	return say(ctx, q.Group)
}

// confirmOutside keeps an operator's word on this node: the boot of a silent node that
// was heard last is off, or, if it was never heard, whatever boot it had.
func (r *resident) confirmOutside(ctx context.Context, q api.ConfirmRequest, s *reconcile.Snapshot) error {
	for _, g := range r.config().Groups {
		sticky := false
		for _, a := range g.Applications {
			sticky = sticky || a.RebootToRelease
		}
		if sticky && g.Priority(q.Node) >= 0 && g.Priority(r.node) >= 0 {
			mark := s.Memory[g.Name].Peers[q.Node]
			return r.keeper.Confirm(ctx, reconcile.Confirmation{Node: q.Node, BootID: mark.BootID, By: q.By, Reason: q.Reason, At: time.Now()})
		}
	}
	return &api.Refusal{Code: exitOK, Text: "nothing waits for a word about " + q.Node + ": with store external only an application that a reboot ends does"}
}

// kindOf is the store as status prints it.
func kindOf(c *config.Config) string { return string(c.Lease.Store) }
