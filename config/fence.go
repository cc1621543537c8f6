package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// secretOptions are option names of fence agents that hold a secret.
var secretOptions = []string{"passwd", "password", "snmp_priv_passwd", "ssh_password", "secret", "token", "secret_key", "api_key"}

// methodOf names a fence in findings: by its place where there are several.
func methodOf(what string, i, n int) string {
	if n > 1 {
		return what + ": fence[" + strconv.Itoa(i) + "]"
	}
	return what + ": fence"
}

// fence reads a fence agent and its options (fence-agents, FenceAgentAPI.md).
func (b *builder) fence(f *fileFence, what string) *Fence {
	fence := &Fence{Agent: f.Agent.or(""), Line: f.line}
	if f.bad {
		return fence
	}
	if b.required(f.Agent.set, f.line, what, "agent", `"fence_ipmilan"`) && f.Agent.ok() {
		if strings.Contains(f.Agent.v, "/") {
			b.cleanPath(f.Agent.v, f.Agent.line, what+" agent")
		} else if !agentSyntax.MatchString(f.Agent.v) {
			b.add(ruleName, f.Agent.line, "write the name of a program, or its absolute path", "%s agent %s is not a program", what, quote(f.Agent.v))
		}
	}
	fence.Timeout = b.within(&f.Timeout, DefaultFenceTimeout, rangeLimit, what+" timeout")
	fence.Settle = b.within(&f.Settle, 0, rangeFenceSettle, what+" settle")
	for _, p := range f.Options.v {
		b.fenceOption(p, what)
		fence.Options = append(fence.Options, Option{Key: p.key, Value: p.value})
	}
	slices.SortFunc(fence.Options, func(x, y Option) int { return cmp.Compare(x.Key, y.Key) })
	for i, o := range fence.Options {
		plain, isFile := strings.CutSuffix(o.Key, "_file")
		if isFile && slices.ContainsFunc(fence.Options[:i], func(p Option) bool { return p.Key == plain }) {
			b.add(ruleFenceOption, lineOf(f.Options.v, o.Key), "keep one of them", "%s options %s and %s mean the same option", what, plain, o.Key)
		}
	}
	return fence
}

func (b *builder) fenceOption(p pair, what string) {
	plain, isFile := strings.CutSuffix(p.key, "_file")
	switch {
	case !agentSyntax.MatchString(p.key) || plain == "":
		b.add(ruleFenceOption, p.line, "see the agent's own manual page", "%s option %s is not a word", what, quote(p.key))
	case plain == "action" || plain == "option":
		b.add(ruleFenceOption, p.line, "take it out", "%s option %s is set by understudy", what, p.key)
	case strings.ContainsFunc(p.value, unicode.IsControl) || len(p.value) > maxFenceOption:
		b.add(ruleFenceOption, p.line, "write it on one line", "%s option %s does not fit on a line", what, p.key)
	case isFile:
		b.cleanPath(p.value, p.line, what+" option "+p.key)
	case slices.Contains(secretOptions, p.key):
		b.add(ruleSecret, p.line, `write `+p.key+`_file = "/etc/understudy/..." and put it there`, "%s option %s stands in the file for all to read", what, p.key)
	}
}
