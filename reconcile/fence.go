package reconcile

import (
	"fmt"
	"strings"
	"time"
)

// Agents names the agents in the order in which they are tried.
func (s Fence) Agents() string {
	var b strings.Builder
	for i, m := range s.Methods {
		if i > 0 {
			b.WriteString(", else ")
		}
		b.WriteString(m.Agent)
	}
	return b.String()
}

// commands are what is asked of each agent.
func (s Fence) commands() string {
	var b strings.Builder
	for i, m := range s.Methods {
		if i > 0 {
			b.WriteString("; if that fails: ")
		}
		fmt.Fprintf(&b, "%s action=off, then action=status until off", m.Agent)
		if len(s.Methods) > 1 {
			fmt.Fprintf(&b, ", ≤ %s", Human(m.Timeout))
		}
	}
	return b.String()
}

// limit is the time of all methods together.
func (s Fence) limit() time.Duration {
	var d time.Duration
	for _, m := range s.Methods {
		d += m.Timeout
	}
	return d
}

// Sentence says who confirmed what, for evidence.
func (f FenceRecord) Sentence() string {
	return fmt.Sprintf("%s off of %s confirmed by %s", f.Agent, f.Node, f.By)
}
