package loop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"understudy/config"
	"understudy/fsm"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// A changed file is taken over in the running loop, group by group. What it has not got
// any more is unknown to it, and would be left where it is: so a group goes by the
// former file until nothing of that is here, and by the changed one from then on. The
// lease, the keep-alives, the watchdog and all that is held run on meanwhile.

// changeFile is the name under which it is kept how far a change has got here.
const changeFile = "change"

// change is one on its way.
type change struct {
	former, next *config.Config
	done         []string             // groups that go by the next file
	seen         map[string]fsm.Event // of the latest pass by what is in force now
	node         string
	keep         func() error
	ended        func()
}

// changeDone is what of it survives a restart: what was started by the changed file must
// not be taken for what the former one had.
type changeDone struct {
	Former string   `json:"former,omitempty"`
	Hash   string   `json:"hash,omitempty"`
	Done   []string `json:"done,omitempty"`
}

// ErrChanging says that another change is on its way here.
var ErrChanging = errors.New("another changed file is being taken over here")

// config is the configuration in force. It is replaced between two passes only; what
// runs beside them sees the one or the other, whole.
func (l *Loop) config() *config.Config { return l.cfg.Load() }

// Change takes next over from former, by which the host is now, and returns when it has
// begun. When nothing of former is here any more, keep is called in the loop's goroutine
// until it succeeds: it records durably that next is in force, so that no later run takes
// former for what this host goes by. Then ended is called there. Either may be nil.
func (l *Loop) Change(ctx context.Context, former, next *config.Config, keep func() error, ended func()) error {
	var err error
	if err2 := l.do(ctx, func() {
		if l.change != nil {
			err = ErrChanging
			return
		}
		ch := &change{former: former, next: next, node: l.opt.Node, keep: keep, ended: ended, done: begun(l.opt.StateDir, former, next)}
		l.change = ch
		l.opt.Log.Info("changed file is taken over", "file", short(next.Hash), "former", short(former.Hash))
		l.append(journal.Record{Kind: journal.Note, Why: fmt.Sprintf("the changed file %s is taken over from %s", short(next.Hash), short(former.Hash))})
		l.put(ch.staged())
	}); err2 != nil {
		return err2
	}
	l.Kick()
	return err
}

func short(hash string) string { return hash[:min(8, len(hash))] }

func (c *change) staged() *config.Config { return stagedFor(c.node, c.former, c.next, c.done) }

// stagedFor is [config.Staged] for one node. A group that is not to be on it any more is
// as the former file has it, and Gone, until nothing of it is here: by the next file
// nobody would let go of it.
func stagedFor(node string, former, next *config.Config, done []string) *config.Config {
	c := config.Staged(former, next, func(group string) bool { return slices.Contains(done, group) })
	for i := range c.Groups {
		o := former.Group(c.Groups[i].Name)
		if o == nil || o.Priority(node) < 0 || c.Groups[i].Priority(node) >= 0 || slices.Contains(done, o.Name) {
			continue
		}
		c.Groups[i] = *o
		c.Groups[i].Gone = true
		c.Hooks = slices.DeleteFunc(c.Hooks, func(h config.Hook) bool { return h.Group == o.Name })
		for _, h := range former.Hooks {
			if h.Group == o.Name {
				c.Hooks = append(c.Hooks, h)
			}
		}
	}
	return c
}

// Resume is what a node begins with that was ended on its way from one file to the next:
// what goes by the next one already does so from the first pass on, or what was let go
// would be taken up again, and be known to nobody afterwards. False if no run before this
// one got so far.
func Resume(stateDir, node string, former, next *config.Config) (*config.Config, bool) {
	done := begun(stateDir, former, next)
	if len(done) == 0 {
		return nil, false
	}
	return stagedFor(node, former, next, done), true
}

// left says what is still to be done for it here.
func (c *change) left(cfg *config.Config) string {
	var names []string
	for _, g := range cfg.Groups {
		if g.Gone || g.Shed != nil {
			names = append(names, g.Name)
		}
	}
	if len(names) == 0 {
		return "takes up what the changed file adds"
	}
	return "lets go of what the changed file has not got: " + strings.Join(names, ", ")
}

// put puts a configuration in force. Groups that it has not got are forgotten.
func (l *Loop) put(cfg *config.Config) {
	was := l.config()
	l.cfg.Store(cfg)
	if l.change != nil {
		l.change.seen = map[string]fsm.Event{}
	}
	if l.opt.Adopt != nil {
		l.opt.Adopt(cfg)
	}
	for _, g := range was.Groups {
		if cfg.Group(g.Name) == nil {
			delete(l.memory, g.Name)
			delete(l.held, g.Name)
			delete(l.last, g.Name)
			delete(l.backoff, g.Name)
			delete(l.cleaned, g.Name)
			delete(l.counted, g.Name)
			delete(l.had, g.Name)
			delete(l.renewed, g.Name)
		}
	}
	l.persist()
}

// settle takes a change a step further, if what a look has seen allows it, and reports
// whether another configuration is in force now: then it must be looked again.
func (l *Loop) settle(s *reconcile.Snapshot) bool {
	ch := l.change
	if ch == nil {
		return false
	}
	cfg := l.config()
	var settled []string
	waits := false
	for i := range cfg.Groups {
		g := &cfg.Groups[i]
		switch {
		case l.flights[g.Name] != nil:
			waits = true
		case !g.Gone && g.Shed == nil:
			event, decided := ch.seen[g.Name]
			waits = waits || len(g.Added) > 0 && g.Priority(l.opt.Node) >= 0 && (!decided || l.memory[g.Name].Role.Holds() && event != fsm.Held)
		case g.Priority(l.opt.Node) < 0 || reconcile.Settled(cfg, g, s):
			settled = append(settled, g.Name)
		default:
			waits = true
		}
	}
	switch {
	case len(settled) > 0:
		// First on disk: what is started from now on is of the changed file.
		done := slices.Concat(ch.done, settled)
		if !l.keepChange(changeDone{Former: ch.former.Hash, Hash: ch.next.Hash, Done: done}) {
			return false
		}
		ch.done = done
		for _, name := range settled {
			m := l.memory[name]
			m.Error, m.ErrorVerb, m.Retry = "", "", time.Time{}
			l.memory[name], l.backoff[name], l.renewed[name] = m, 0, true
			l.cleaned[name] = ""
		}
		l.put(ch.staged())
		return true
	case waits:
	case !l.keepNext(ch) || !l.keepChange(changeDone{}): // in this order: how far it has got is of use until then
	default:
		l.change = nil
		l.put(ch.next)
		l.opt.Log.Info("changed file is in force", "file", short(ch.next.Hash))
		l.append(journal.Record{Kind: journal.Note, Why: fmt.Sprintf("the changed file %s is in force", short(ch.next.Hash))})
		if ch.ended != nil {
			ch.ended()
		}
		return true
	}
	return false
}

// keepNext records that the next file is in force. What could not be kept is tried again
// by the next pass.
func (l *Loop) keepNext(ch *change) bool {
	if ch.keep == nil {
		return true
	}
	if err := ch.keep(); err != nil {
		l.opt.Log.Error("the file in force was not kept", "err", err)
		return false
	}
	return true
}

// begun is how far a run before this one got with the same change.
func begun(stateDir string, former, next *config.Config) []string {
	var was changeDone
	if stateDir == "" {
		return nil
	}
	if _, err := journal.LoadState(stateDir, changeFile, &was); err != nil || was.Former != former.Hash || was.Hash != next.Hash {
		return nil
	}
	return was.Done
}

// keepChange keeps how far a change has got. What could not be kept is tried again by
// the next pass.
func (l *Loop) keepChange(d changeDone) bool {
	if l.opt.StateDir == "" {
		return true
	}
	if err := journal.SaveState(l.opt.StateDir, changeFile, d); err != nil {
		l.opt.Log.Error("how far the change has got was not saved", "err", err)
		return false
	}
	return true
}

// Changing says what was still done here for a changed file at the last pass, "" if
// nothing.
func (l *Loop) Changing() string {
	if st := l.State(); st != nil {
		return st.Changing
	}
	return ""
}

// changing says what is still done here for a changed file, "" if nothing.
func (l *Loop) changing() string {
	if l.change == nil {
		return ""
	}
	return l.change.left(l.config())
}
