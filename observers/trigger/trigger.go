package trigger

// Trigger is a channel of size one: something may have changed, look again. The
// zero value never fires; make one with [New].
type Trigger chan struct{}

// New returns a trigger that has not fired.
func New() Trigger { return make(Trigger, 1) }

// Fire marks the trigger. It never blocks.
func (t Trigger) Fire() {
	select {
	case t <- struct{}{}:
	default:
	}
}
