//go:build linux

package lab

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// Filter is a fault of the switch: frames are lost between two ports.
type Filter struct {
	Network string // "": both
	From    string // host; "": any
	To      string // host; "": any
	Percent int    // of the frames that are lost, 1 to 100
}

// String is the fault in a few words.
func (f Filter) String() string {
	name := func(host, any string) string {
		if host == "" {
			return any
		}
		return host
	}
	text := name(f.From, "all") + " → " + name(f.To, "all")
	if f.Network != "" {
		text += " on " + f.Network
	}
	if f.Percent < 100 {
		text += fmt.Sprintf(", %d %% lost", f.Percent)
	}
	return text
}

// Filters sets the faults of the switch, in place of those before. It needs nft(8).
func (l *Lab) Filters(ctx context.Context, all ...Filter) error {
	return l.ask(ctx, request{Op: "filter", Filters: all}, nil)
}

// filters are the rules of the switch: of its own network namespace, where this
// process lives.
type filters struct{ mu sync.Mutex }

func (s *filters) set(ctx context.Context, all []Filter, e *events) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := ruleset(all)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot filter: %w: %s — is nftables installed?", err, strings.TrimSpace(string(out)))
	}
	var words []string
	for _, f := range all {
		words = append(words, f.String())
	}
	if words == nil {
		words = []string{"nothing"}
	}
	e.add("switch", "loses %s", strings.Join(words, "; "))
	return nil
}

// ruleset is what nft(8) reads: the table anew, in one transaction.
func ruleset(all []Filter) (string, error) {
	var b strings.Builder
	b.WriteString("table bridge chaos\ndelete table bridge chaos\n")
	if len(all) == 0 {
		return b.String(), nil
	}
	b.WriteString("table bridge chaos {\n\tchain forward {\n\t\ttype filter hook forward priority 0;\n")
	for _, f := range all {
		if f.Percent < 1 || f.Percent > 100 || f.Network != "" && !slices.Contains(networks, f.Network) ||
			f.From != "" && !validName.MatchString(f.From) || f.To != "" && !validName.MatchString(f.To) || f.From == "" && f.To == "" {
			return "", fmt.Errorf("cannot filter %+v", f)
		}
		for _, n := range networks {
			if f.Network != "" && f.Network != n {
				continue
			}
			b.WriteString("\t\t")
			if f.From != "" {
				fmt.Fprintf(&b, "iifname %q ", port(f.From, n))
			}
			if f.To != "" {
				fmt.Fprintf(&b, "oifname %q ", port(f.To, n))
			}
			if f.Percent < 100 {
				fmt.Fprintf(&b, "numgen random mod 100 < %d ", f.Percent)
			}
			b.WriteString("drop\n")
		}
	}
	b.WriteString("\t}\n}\n")
	return b.String(), nil
}
