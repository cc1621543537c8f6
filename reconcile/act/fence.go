//go:build linux || aix

package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// Times of a fence. fenceTimeout is used where the file gives none.
const (
	fenceTimeout  = 60 * time.Second
	fenceOffAgain = 5 * time.Second // status says on: switch off again after this
	agentOutput   = 64 << 10        // bytes kept of what an agent prints
)

// Exit status of an agent's action "status" (FenceAgentAPI).
const (
	agentOn  = 0
	agentOff = 2
)

// Fence switches a node off and confirms it, by the first method whose agent says
// off when it is asked for the status, and returns that agent. A method that fails is
// followed by the next; if all do the error says which failed how.
func (h *Host) Fence(ctx context.Context, s reconcile.Fence) (agent string, err error) {
	if s.Node == h.opts.Node || s.Node == "" || len(s.Methods) == 0 {
		return "", fmt.Errorf("cannot fence %q: a node does not fence itself, and a fence needs an agent", s.Node)
	}
	var failed []error
	for i, m := range s.Methods {
		err := h.fence(ctx, s.Node, m)
		if err == nil {
			return m.Agent, h.settle(ctx, s.Node, m.Settle)
		}
		failed = append(failed, fmt.Errorf("cannot fence %s with %s: %w", s.Node, m.Agent, err))
		if ctx.Err() != nil {
			break // whoever asked does not wait any more, or must not fence any more
		}
		if i < len(s.Methods)-1 {
			h.log.WarnContext(ctx, "fence method failed, the next is tried", "node", s.Node, "agent", m.Agent, "err", err)
		}
	}
	err = failed[0]
	for _, f := range failed[1:] {
		err = fmt.Errorf("%w; %w", err, f)
	}
	return "", fmt.Errorf("%w — whether it is off is unknown: look at the device, or confirm by hand that the node is down", err)
}

// fenceTime bounds ctx by the time that a method has, and says what that is.
func fenceTime(ctx context.Context, agent config.Fence) (context.Context, time.Duration, context.CancelFunc) {
	limit := agent.Timeout
	if limit <= 0 {
		limit = fenceTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("its timeout of %s has passed", limit))
	return ctx, limit, cancel
}

// fence switches a node off by one method. Only a status of off is success: agents
// have been seen to report success before the power was off.
func (h *Host) fence(ctx context.Context, node string, agent config.Fence) error {
	ctx, limit, cancel := fenceTime(ctx, agent)
	defer cancel()
	options, secrets, err := agentOptions(agent)
	if err != nil {
		return err
	}
	began := time.Now()
	var last error // why it is not known to be off
	var offAt time.Time
	offFailed := true
	for step := 20 * time.Millisecond; ; step = min(2*step, time.Second) {
		if offAt.IsZero() || time.Since(offAt) > fenceOffAgain {
			offAt = time.Now()
			// A hanging agent must leave time for the question whether it worked.
			one, cancel := share(ctx, 2, 3, limit)
			code, err := ask(one, agent, options, secrets, "off")
			cut := one.Err() != nil // by its share of the time; what was said before says more
			cancel()
			offFailed = err != nil || code != 0
			if offFailed && (last == nil || !cut) {
				last = errors.Join(err, nonZero("off", code, err))
			}
		}
		code, err := ask(ctx, agent, options, secrets, "status")
		switch {
		case err == nil && code == agentOff:
			h.log.InfoContext(ctx, "fenced: status says off", "node", node, "agent", agent.Agent, "took", time.Since(began))
			return nil
		case err == nil && code == agentOn:
			if !offFailed {
				last = errors.New("off reported success, but status says that it is still on")
			} else if last == nil {
				last = errors.New("status says that it is still on")
			}
		case err != nil && ctx.Err() != nil && last != nil: // cut short, too
		default:
			last = errors.Join(err, nonZero("status", code, err))
		}
		if offFailed && ctx.Err() == nil {
			// The caller tries again, later every time; it must not wait for the whole
			// timeout to learn that the device does not answer.
			return last
		}
		if !pause(ctx, step) {
			return fmt.Errorf("%w (%w)", last, context.Cause(ctx))
		}
	}
}

// FenceStatus asks a fence method whether its node has power, and switches nothing. The
// error says why that is not known.
func FenceStatus(ctx context.Context, agent config.Fence) (on bool, err error) {
	ctx, _, cancel := fenceTime(ctx, agent)
	defer cancel()
	options, secrets, err := agentOptions(agent)
	if err != nil {
		return false, err
	}
	code, err := ask(ctx, agent, options, secrets, "status")
	if err != nil || code != agentOn && code != agentOff {
		return false, errors.Join(err, nonZero("status", code, err))
	}
	return code == agentOn, nil
}

// settle waits until what the node had sent off before it was switched off has
// arrived. Nothing is recorded before: whoever finds the record need not wait.
func (h *Host) settle(ctx context.Context, node string, settle time.Duration) error {
	if settle <= 0 {
		return nil
	}
	h.log.InfoContext(ctx, "waiting for what is under way to the disks", "node", node, "settle", settle)
	if !pause(ctx, settle) {
		return fmt.Errorf("cannot give the disks of %s, which is off, their %s: %w", node, settle, context.Cause(ctx))
	}
	return nil
}

func nonZero(action string, code int, err error) error {
	if err != nil {
		return nil
	}
	return fmt.Errorf("action %s ended with exit status %d", action, code)
}

// agentOptions are the lines for an agent's standard input, and the values among
// them that must not be printed. Files are read now, so that a new password is
// used without a restart.
func agentOptions(agent config.Fence) (lines string, secrets []string, err error) {
	var b strings.Builder
	for _, o := range agent.Options {
		name, fromFile := optionName(o.Key)
		value := o.Value
		if fromFile {
			raw, err := os.ReadFile(o.Value)
			if err != nil {
				return "", nil, fmt.Errorf("cannot read option %s: %w", o.Key, err)
			}
			value = strings.TrimRight(string(raw), "\r\n")
		}
		if name == "" || strings.ContainsAny(name, "=\n\x00") || strings.ContainsAny(value, "\n\x00") {
			return "", nil, fmt.Errorf("option %s cannot be passed on one line", o.Key)
		}
		if name == "action" || name == "option" { // its former name
			return "", nil, fmt.Errorf("option %s is set by this program — remove it", name)
		}
		if fromFile || strings.HasPrefix(name, "passw") || strings.Contains(name, "secret") || strings.Contains(name, "token") {
			secrets = append(secrets, value)
		}
		b.WriteString(name + "=" + value + "\n")
	}
	return b.String(), secrets, nil
}

// ask has an agent do one thing. The error tells why there is no exit status, or
// what an agent said that ended with 1, which means failure for every action.
func ask(ctx context.Context, agent config.Fence, options string, secrets []string, action string) (int, error) {
	o, err := run(ctx, command{argv: []string{agent.Agent}, stdin: options + "action=" + action + "\n", max: agentOutput})
	if err != nil {
		return -1, fmt.Errorf("action %s: %w", action, err)
	}
	if o.code < 0 || o.code == 1 {
		return o.code, fmt.Errorf("action %s failed with exit status %d: %s", action, o.code, o.redact(secrets).says())
	}
	return o.code, nil
}

// redact takes secrets out of what a command printed.
func (o outcome) redact(secrets []string) outcome {
	for _, s := range secrets {
		if s != "" {
			o.stdout = strings.ReplaceAll(o.stdout, s, "***")
			o.stderr = strings.ReplaceAll(o.stderr, s, "***")
		}
	}
	return o
}

// Metadata asks a fence agent what options and actions it has.
func Metadata(ctx context.Context, agent string) (AgentMetadata, error) {
	fail := func(err error) (AgentMetadata, error) {
		return AgentMetadata{}, fmt.Errorf("cannot ask fence agent %s for its options: %w", agent, err)
	}
	o, err := run(ctx, command{argv: []string{agent}, stdin: "action=metadata\n", max: 1 << 20})
	if err != nil {
		return fail(err)
	}
	if o.code != 0 {
		return fail(fmt.Errorf("exit status %d: %s", o.code, o.says()))
	}
	m, err := parseMetadata([]byte(o.stdout))
	if err != nil {
		return fail(err)
	}
	return m, nil
}
