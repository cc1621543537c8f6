package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"understudy/config"
	"understudy/fsm"
)

// Plan is the ordered steps of one group on one node, or why there are none. A
// plan without steps is one of three things: all is well (no Waits, no Blocked),
// it waits for something, or something blocks it.
type Plan struct {
	Group  string
	Policy config.Policy
	Node   string
	From   fsm.Role // when it begins
	To     fsm.Role // when it is done
	Event  fsm.Event
	Goal   Goal
	Why    string

	Steps   []Planned
	Waits   []Reason // it will go on by itself when these are met
	Blocked []Reason // a person must look; the steps of a letting go run all the same
}

// Planned is a step in its place.
type Planned struct {
	N    int // from 1
	Step Step
	Why  string
}

// Empty reports that the plan has no steps.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Fingerprint is the first six hex digits of the SHA-256 of group, node and
// steps. The same steps have the same fingerprint on every run.
func (p Plan) Fingerprint() string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	_ = enc.Encode([]string{p.Group, p.Node})
	for _, s := range p.Steps {
		step := s.Step
		if t, ok := step.(TakeClaim); ok {
			t.Was.At, t.Was.From = time.Time{}, ""  // for people and hooks
			t.Was.Failovers, t.Failovers = nil, nil // with the time of this look
			step = t
		}
		_ = enc.Encode(fmt.Sprintf("%T", step))
		_ = enc.Encode(step)
	}
	return hex.EncodeToString(h.Sum(nil))[:6]
}

// planJSON is the documented shape of `plan --json`. Fields are added, never
// renamed.
type planJSON struct {
	Group       string     `json:"group"`
	Policy      string     `json:"policy"`
	Node        string     `json:"node"`
	From        string     `json:"from"`
	To          string     `json:"to"`
	Event       string     `json:"event"`
	Why         string     `json:"why"`
	Steps       []stepJSON `json:"steps"`
	Waits       []Reason   `json:"waits,omitempty"`
	Blocked     []Reason   `json:"blocked,omitempty"`
	ExpectMS    int64      `json:"expect_ms"`
	Fingerprint string     `json:"fingerprint"`
}

type stepJSON struct {
	N        int    `json:"n"`
	Verb     string `json:"verb"`
	Object   string `json:"object"`
	Detail   string `json:"detail,omitempty"`
	Why      string `json:"why"`
	Command  string `json:"command"`
	Pre      string `json:"pre,omitempty"`
	Post     string `json:"post"`
	Undo     string `json:"undo,omitempty"`
	LimitMS  int64  `json:"limit_ms"`
	ExpectMS int64  `json:"expect_ms"`
	Storage  bool   `json:"storage,omitempty"`
	NeedsMS  int64  `json:"lease_needs_ms,omitempty"`
}

// MarshalJSON gives the documented shape.
func (p Plan) MarshalJSON() ([]byte, error) {
	out := planJSON{
		Group: p.Group, Policy: string(p.Policy), Node: p.Node,
		From: p.From.String(), To: p.To.String(), Event: p.Event.String(), Why: p.Why,
		Steps: []stepJSON{}, Waits: p.Waits, Blocked: p.Blocked,
		ExpectMS: p.Cost().Milliseconds(), Fingerprint: p.Fingerprint(),
	}
	if p.Group == NodeGroup { // services have no role
		out.From, out.To, out.Event = "", "", ""
	}
	for _, s := range p.Steps {
		sp := s.Step.Spec()
		out.Steps = append(out.Steps, stepJSON{
			N: s.N, Verb: sp.Verb, Object: sp.Object, Detail: sp.Detail, Why: s.Why, Command: sp.Command,
			Pre: sp.Pre, Post: sp.Post, Undo: sp.Undo,
			LimitMS: sp.Limit.Milliseconds(), ExpectMS: sp.Expect.Milliseconds(),
			Storage: sp.Storage, NeedsMS: sp.Needs.Milliseconds(),
		})
	}
	return json.Marshal(out)
}

// Text writes the plan for a person, within 80 columns where words allow.
func (p Plan) Text(w io.Writer) {
	role := p.From.String()
	if p.To != p.From {
		role += " → " + p.To.String()
	}
	if p.Group == NodeGroup {
		fmt.Fprintf(w, "services · %s\n", p.Node)
	} else {
		fmt.Fprintf(w, "group %s · %s · %s: %s\n", p.Group, p.Policy, p.Node, role)
	}
	writeWrapped(w, "why: ", p.Why)
	for _, r := range p.Blocked {
		writeWrapped(w, "blocked: ", r.String())
	}
	for _, r := range p.Waits {
		writeWrapped(w, "waits: ", r.String())
	}
	if len(p.Steps) == 0 {
		if len(p.Blocked) == 0 && len(p.Waits) == 0 {
			fmt.Fprintln(w, "nothing to do")
		}
		return
	}
	fmt.Fprintln(w)
	width := 0
	for _, s := range p.Steps {
		if n := utf8.RuneCountInString(s.Step.Spec().Object); n > width && n <= 16 {
			width = n
		}
	}
	for _, s := range p.Steps {
		fmt.Fprintln(w, s.line(width))
	}
	fmt.Fprintln(w)
	writeWrapped(w, "", fmt.Sprintf("%d %s, expected %s%s · plan %s", len(p.Steps), plural(len(p.Steps), "step"), Human(p.Cost()), p.parts(), p.Fingerprint()))
}

func (s Planned) line(width int) string {
	sp := s.Step.Spec()
	head := fmt.Sprintf("%3d  %-9s %s", s.N, sp.Verb, sp.Object)
	if sp.Detail == "" {
		return head
	}
	pad := width - utf8.RuneCountInString(sp.Object)
	line := head + strings.Repeat(" ", max(0, pad)+2) + sp.Detail
	if utf8.RuneCountInString(line) <= 80 {
		return line
	}
	return head + "\n" + wrap(sp.Detail, strings.Repeat(" ", 15), 80)
}

// parts names what dominates the expected time.
func (p Plan) parts() string {
	total := p.Cost()
	var names []string
	took := map[string]time.Duration{} // an object's stop and start together
	for _, s := range p.Steps {
		sp := s.Step.Spec()
		if total > 0 && sp.Expect*5 >= total && len(p.Steps) > 1 {
			name := sp.Object
			if sp.Verb == "fence" || utf8.RuneCountInString(name) > 16 {
				name = sp.Verb
			}
			if took[name] == 0 {
				names = append(names, name)
			}
			took[name] += sp.Expect
		}
	}
	if len(names) == 0 {
		return ""
	}
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = name + " " + Human(took[name])
	}
	return " (" + strings.Join(out, ", ") + ")"
}

// Human is a duration for people: 12 ms, 4.1 s, 120 s, 5 min.
func Human(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d%time.Second == 0 && d <= 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d min", int(d.Minutes()))
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func writeWrapped(w io.Writer, label, text string) {
	indent := strings.Repeat(" ", len(label))
	fmt.Fprintln(w, label+strings.TrimPrefix(wrap(text, indent, 80), indent))
}

// wrap breaks text at blanks so that no line is longer than width, where words
// allow; every line begins with indent.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	line := indent
	for _, word := range strings.Fields(text) {
		switch {
		case line == indent:
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			b.WriteString(line + "\n")
			line = indent + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line)
	return b.String()
}
