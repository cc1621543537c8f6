package fsm

import (
	"context"
	"errors"
	"fmt"

	"github.com/qmuntal/stateless"
)

// Transition is one answer of the machine. From and To are equal if the role
// stays.
type Transition struct {
	From  Role
	Event Event
	To    Role
	Why   string // the sentence of the row that applied
}

// Changed reports whether the role is another one afterwards.
func (t Transition) Changed() bool { return t.From != t.To }

// String is the transition in one line, as `why` and `history` print it.
func (t Transition) String() string {
	if !t.Changed() {
		return fmt.Sprintf("%s stays on %s: %s", t.From, t.Event, t.Why)
	}
	return fmt.Sprintf("%s → %s on %s: %s", t.From, t.To, t.Event, t.Why)
}

// RefusedError says that the table has no row for what it was asked. As the
// table is total, one of the two is not a role or an event at all.
type RefusedError struct {
	Role  Role
	Event Event
}

// Error names both, as numbers too, because an invalid one has no word.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("cannot follow %s (%d) on %s (%d): no row of the table says what comes next — report it, the role is left as it was",
		e.Role, int(e.Role), e.Event, int(e.Event))
}

// Next returns the role that follows r when e is what the present snapshot
// shows and f holds. It is a pure function and safe for concurrent use. On an
// error, which is always a *[RefusedError], the transition stays at r.
func Next(r Role, e Event, f Facts) (Transition, error) {
	t := Transition{From: r, Event: e, To: r}
	if !valid(r, e) {
		return t, &RefusedError{Role: r, Event: e}
	}
	c := &cell{role: r}
	if err := machine.FireCtx(context.WithValue(context.Background(), cellKey{}, c), e, f); err != nil {
		return t, err
	}
	t.To = c.role
	t.Why = reason(t, f)
	return t, nil
}

// cell holds the role during one call of Next; the machine itself holds none.
type cell struct{ role Role }

type cellKey struct{}

// machine is the compiled table. It is configured here once and never again:
// stateless does not synchronise configuring with firing.
var machine = compile(rules)

var errNoRole = errors.New("no role in the context")

func compile(rs []rule) *stateless.StateMachine {
	sm := stateless.NewStateMachineWithExternalStorage(
		func(ctx context.Context) (stateless.State, error) {
			c, ok := ctx.Value(cellKey{}).(*cell)
			if !ok {
				return nil, errNoRole
			}
			return c.role, nil
		},
		func(ctx context.Context, s stateless.State) error {
			ctx.Value(cellKey{}).(*cell).role = s.(Role)
			return nil
		},
		stateless.FiringImmediate, // no queue, so no state between calls
	)
	for _, r := range rs {
		c := sm.Configure(r.from)
		if r.to == r.from {
			c.Ignore(r.on, r.when.funcs()...)
		} else {
			c.Permit(r.on, r.to, r.when.funcs()...)
		}
	}
	sm.OnUnhandledTrigger(func(_ context.Context, s stateless.State, ev stateless.Trigger, _ []string) error {
		return &RefusedError{Role: s.(Role), Event: ev.(Event)}
	})
	return sm
}

// funcs is the guard in the form the library wants; none for always.
func (g guard) funcs() []stateless.GuardFunc {
	if g.name == "" {
		return nil
	}
	return []stateless.GuardFunc{func(_ context.Context, args ...any) bool {
		return g.holds(args[0].(Facts))
	}}
}

func valid(r Role, e Event) bool {
	return r >= Rejoining && r <= Owner && e >= LeaseLost && e <= Free
}

// reason is the sentence of the row that led to t.
func reason(t Transition, f Facts) string {
	for _, r := range rules {
		if r.from == t.From && r.on == t.Event && r.to == t.To && r.when.holds(f) {
			return r.why
		}
	}
	return ""
}
