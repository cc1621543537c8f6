package prepare

import (
	"fmt"
	"strings"
)

// State says how far a demand is met.
type State string

// The states.
const (
	Done    State = "done"    // met; Seen is the proof
	ToDo    State = "to do"   // Changes meet it
	ByHand  State = "by hand" // the operator's own; Way says how
	Blocked State = "blocked" // wrong in a way that nothing here may mend; Way says what does
	Unknown State = "unknown" // could not be looked at, or cannot be yet
)

// Item is one demand and how it stands on this node.
type Item struct {
	Name    string   // short, unique on a node: "services kerberos5"
	Rows    []string // of the checklist drawn from the guide: "S113"
	Section Section
	Group   string // "" if it is the node's own
	Want    string // what must hold
	Seen    string // what was seen
	State   State
	Way     string   // the way out; "" if there is nothing to be done
	Changes []Change // for ToDo, in order
	// Routine marks a step of the operator's that is never over, as starting and
	// stopping are: nothing that `check` has to report.
	Routine bool
}

// Section is a place in the guide's order of work.
type Section int

// The sections, in the order in which the work is done.
const (
	Cluster     Section = iota // install and configure the cluster program
	Storage                    // shared disks, file systems, mount points
	Environment                // the addresses that RPC must not use
	Cache                      // the cache of the DFS client
	Begin                      // start: address and file systems are here
	Install
	Configure
	FileSpace // mount point and links of the global name space
	Services  // the port of the key distribution centre
	Scripts
	Release
	Start
)

var sections = [...]struct{ title, rows string }{
	Cluster:     {"cluster", "step 1 on either node"},
	Storage:     {"shared storage", "step 2 on either node"},
	Environment: {"network interfaces of RPC", "step 3 on either node"},
	Cache:       {"cache of the DFS client", "step 4 on either node"},
	Begin:       {"address and file systems here", "step 5 on either node"},
	Install:     {"install", "step 6 on either node"},
	Configure:   {"configure", "step 7 on either node"},
	FileSpace:   {"aggregates and the DFS mount point", "step 8 on either node"},
	Services:    {"port of the security service", "step 9 on the standby"},
	Scripts:     {"programs", "step 9, on the standby 10"},
	Release:     {"let go", "steps 10 and 11, on the standby 11"},
	Start:       {"start", "Starting DCE and DFS with HACMP"},
}

// String is the section's title.
func (s Section) String() string { return sections[s].title }

// Change is one change to the files of this host. The set is closed:
// reconcile/act/site carries out exactly these.
//
//sumtype:decl
type Change interface {
	// Text is the change for people: "make directory /...".
	Text() string
	// Command does the same by hand, in a POSIX shell.
	Command() string
	change()
}

// MakeDir makes a directory of root's, and those above it that are missing.
type MakeDir struct {
	Path string
	Mode uint32 // permission bits
}

// MakeLink makes a symbolic link, or replaces one that leads elsewhere. Anything but
// a link that is there is an error.
type MakeLink struct{ Path, Target string }

// SetVariable keeps exactly one line KEY=VALUE in a file of the form of
// /etc/environment. An empty value takes every line of the key out.
type SetVariable struct{ Path, Key, Value string }

// AddService adds a line to a file of the form of services(5).
type AddService struct{ Path, Line string }

// SetOptions replaces the options of one line of a file of the form of fstab(5).
type SetOptions struct {
	Path string
	Line int    // from 1
	Was  string // the whole line, without its end; if it has changed meanwhile, nothing is done
	Now  string
}

// WriteKey makes a new shared secret: 32 random bytes, base64, for root alone. A file
// that is there is never replaced.
type WriteKey struct{ Path string }

func (MakeDir) change()     {}
func (MakeLink) change()    {}
func (SetVariable) change() {}
func (AddService) change()  {}
func (SetOptions) change()  {}
func (WriteKey) change()    {}

// Text implements Change.
func (c MakeDir) Text() string { return fmt.Sprintf("make directory %s, mode %04o", c.Path, c.Mode) }

// Command implements Change.
func (c MakeDir) Command() string { return fmt.Sprintf("mkdir -p -m %04o %s", c.Mode, word(c.Path)) }

// Text implements Change.
func (c MakeLink) Text() string { return "link " + c.Path + " to " + c.Target }

// Command implements Change.
func (c MakeLink) Command() string { return "ln -sfn " + word(c.Target) + " " + word(c.Path) }

// Text implements Change.
func (c SetVariable) Text() string {
	if c.Value == "" {
		return "take " + c.Key + " out of " + c.Path
	}
	return fmt.Sprintf("write one line %s=%s into %s", c.Key, c.Value, c.Path)
}

// Command implements Change.
func (c SetVariable) Command() string {
	cmd := fmt.Sprintf("touch %s; sed -i -E '/^[[:space:]]*(export[[:space:]]+)?%s=/d' %s", word(c.Path), c.Key, word(c.Path))
	if c.Value != "" {
		cmd += fmt.Sprintf("; echo %s >>%s", word(c.Key+"="+c.Value), word(c.Path))
	}
	return cmd
}

// Text implements Change.
func (c AddService) Text() string {
	return fmt.Sprintf("add line %q to %s", strings.Join(strings.Fields(c.Line), " "), c.Path)
}

// Command implements Change. printf expands the tabs, which echo does not everywhere.
func (c AddService) Command() string {
	return fmt.Sprintf("printf '%s\\n' >>%s", strings.ReplaceAll(c.Line, "\t", `\t`), word(c.Path))
}

// Text implements Change.
func (c SetOptions) Text() string {
	return fmt.Sprintf("change line %d of %s to: %s", c.Line, c.Path, strings.Join(strings.Fields(c.Now), " "))
}

// Command implements Change.
func (c SetOptions) Command() string {
	return "sed -i " + word(fmt.Sprintf(`%dc\%s`, c.Line, strings.ReplaceAll(c.Now, `\`, `\\`))) + " " + word(c.Path)
}

// Text implements Change.
func (c WriteKey) Text() string { return "make a shared key in " + c.Path + ", mode 0600" }

// Command implements Change.
func (c WriteKey) Command() string {
	return fmt.Sprintf("(umask 077; head -c %d /dev/urandom | base64 >%s)", KeySize, word(c.Path))
}

// KeySize is the length of the shared secret, in bytes.
const KeySize = 32

// word quotes a word for a POSIX shell.
func word(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// quote is a command line.
func quote(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = word(a)
	}
	return strings.Join(words, " ")
}
