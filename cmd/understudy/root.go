package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/reconcile/act"
)

// Defaults of the contract; all settable.
const (
	defaultConfig   = "/etc/understudy/understudy.toml"
	defaultStateDir = "/var/lib/understudy"
	defaultSocket   = "/run/understudy/understudy.sock"
)

// version is set by the packaging with -ldflags "-X main.version=…".
var version = "0.1.0-dev"

// common is what every verb may be told.
type common struct {
	config, node, stateDir, socket string
	json                           bool
	out, err                       io.Writer
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	c := &common{out: stdout, err: stderr}
	root := &cobra.Command{
		Use:   "understudy",
		Short: "keep a stateful service on shared storage running on exactly one machine",
		Long: strings.TrimSpace(`
understudy keeps a stateful service on shared storage running on exactly one
machine. Each node is owner, standby, takeover or rejoining for every group of
the one TOML file; what will happen can be read beforehand (plan), what happened
afterwards (why, history).

Exit codes: 0 done or nothing to do, 1 failed, 2 usage, 3 the plan is not empty
(with --exit-code), 4 blocked.`),
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
		Version:                    version,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if n := len(c.socket); n == 0 || n > socketPathMax {
				return &exitError{exitUsage, fmt.Sprintf("cannot use the socket %q: its path has %d bytes, and a unix socket takes 1 to %d — name another with --socket", c.socket, n, socketPathMax)}
			}
			if uid := os.Geteuid(); uid != 0 && cmd.Name() == "run" {
				return &exitError{exitFailed, fmt.Sprintf("cannot run as uid %d: mounts, addresses and the programs of a group need root — start it as root", uid)}
			}
			return nil
		},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownVerb(cmd, args[0])
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Sprintf("%v — see: %s --help", err, cmd.CommandPath())}
	})
	f := root.PersistentFlags()
	f.StringVar(&c.config, "config", defaultConfig, "the TOML `file` of desired state, the same on every node")
	f.StringVar(&c.node, "node", "", "the `name` of this node in the file (default: the host name at start)")
	f.StringVar(&c.stateDir, "state-dir", defaultStateDir, "`folder` of journal, memory and the embedded store")
	f.StringVar(&c.socket, "socket", defaultSocket, "unix `socket` of the resident service")
	f.BoolVar(&c.json, "json", false, "print JSON for programs")
	root.AddCommand(
		runCommand(c), witnessCommand(c), checkCommand(c), prepareCommand(c), planCommand(c), applyCommand(c), statusCommand(c), changeCommand(c),
		moveCommand(c), rehearseCommand(c), confirmCommand(c), clearCommand(c), freezeCommand(c), thawCommand(c), drainCommand(c), undrainCommand(c), rejoinCommand(c), stopCommand(c), releaseCommand(c), acquireCommand(c), whyCommand(c), historyCommand(c), fsmCommand(c), diskCommand(c), keyCommand(c), labCommand(c),
	)
	for _, cmd := range root.Commands() {
		usageArgs(cmd)
	}
	root.SetHelpCommand(helpCommand(root))
	cobra.AddTemplateFunc("wrapped", func(f *pflag.FlagSet) string { return f.FlagUsagesWrapped(helpWidth) })
	cobra.AddTemplateFunc("fit", fit)
	root.SetUsageTemplate(strings.NewReplacer(
		".LocalFlags.FlagUsages", "(wrapped .LocalFlags)",
		".InheritedFlags.FlagUsages", "(wrapped .InheritedFlags)",
		"{{rpad .Name .NamePadding }} {{.Short}}", "{{rpad .Name .NamePadding }} {{fit .Short .NamePadding}}",
	).Replace(root.UsageTemplate()))
	return root
}

// helpWidth is the width of a help text, in columns.
const helpWidth = 80

// unknownVerb is a usage error that names what was perhaps meant.
func unknownVerb(root *cobra.Command, verb string) error {
	text := fmt.Sprintf("unknown command %q", verb)
	if near := root.SuggestionsFor(verb); len(near) > 0 {
		text += fmt.Sprintf(", did you mean %s?", strings.Join(near, " or "))
	}
	return &exitError{exitUsage, text + " — see: understudy --help"}
}

// fit breaks a verb's sentence, which stands behind a name padded to pad columns.
func fit(text string, pad int) string {
	indent := pad + len("  ") + len(" ")
	var b strings.Builder
	at := indent
	for word := range strings.FieldsSeq(text) {
		n := len([]rune(word))
		switch {
		case at > indent && at+1+n > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		case at > indent:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// socketPathMax is the longest path of a unix socket, in bytes: sun_path less its
// final zero (unix(7)).
const socketPathMax = 107

// helpCommand is cobra's help, but a verb that is not there is a usage error.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "explain a verb",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			switch {
			case err != nil:
				return err
			case cmd == root && len(rest) > 0:
				return unknownVerb(root, rest[0])
			case cmd.DisableFlagParsing: // it has a help of its own
				return cmd.RunE(cmd, append(rest, "--help"))
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// usageArgs makes a wrong number of arguments a usage error.
func usageArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				text := err.Error()
				if strings.HasPrefix(text, "unknown command") { // cobra.NoArgs
					text = fmt.Sprintf("%s takes no word beside its flags, and %q was given", cmd.CommandPath(), args[0])
				}
				return &exitError{exitUsage, fmt.Sprintf("%s — usage: %s", text, cmd.UseLine())}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageArgs(sub)
	}
}

// load reads and checks the file. What is wrong with it goes to stderr, a line
// each, and the error only counts them.
func (c *common) load() (*config.Config, error) {
	data, err := c.readConfig()
	if err != nil {
		return nil, err
	}
	own, err := c.readProfiles()
	if err != nil {
		return nil, err
	}
	cfg, err := config.ParseWith(c.config, data, own)
	if fs, ok := errors.AsType[config.Findings](err); ok {
		for _, f := range fs {
			fmt.Fprintln(c.err, f)
		}
		return nil, fmt.Errorf("cannot use %s: %d %s", c.config, len(fs), plural(len(fs), "finding"))
	}
	return cfg, err
}

// readConfig reads the file.
func (c *common) readConfig() ([]byte, error) {
	data, err := os.ReadFile(c.config)
	way := "name it with --config"
	switch {
	case err == nil:
		return data, nil
	case errors.Is(err, fs.ErrPermission):
		way = "run this as root, or name another file with --config"
	case errors.Is(err, syscall.EISDIR):
		way = "name the file in it with --config"
	}
	return nil, fmt.Errorf("cannot read the configuration: %w — %s", err, way)
}

// self is this node's name, which must be in the file.
func (c *common) self(cfg *config.Config) (string, error) {
	name := c.node
	if name == "" {
		host, err := c.hostname()
		if err != nil {
			return "", fmt.Errorf("cannot tell the host name: %w — name the node with --node", err)
		}
		name, _, _ = strings.Cut(host, ".")
	}
	if cfg.Node(name) == nil {
		names := make([]string, len(cfg.Nodes))
		for i, n := range cfg.Nodes {
			names[i] = n.Name
		}
		return "", &exitError{exitUsage, fmt.Sprintf("cannot find node %q in %s (it has %s) — name this node with --node", name, c.config, strings.Join(names, ", "))}
	}
	return name, nil
}

// hostname is the host's own name. While a service's is set, or still set because
// this program was killed in the middle, that is the one it has saved.
func (c *common) hostname() (string, error) {
	host := act.New(act.Options{StateDir: c.stateDir})
	defer host.Close()
	// What cannot be read, as by users other than root, is not there for them.
	if saved, err := host.SavedHostname(); err == nil && saved != "" {
		return saved, nil
	}
	return os.Hostname()
}

func (c *common) client() *api.Client { return api.NewClient(c.socket) }

func (c *common) printJSON(v any) error {
	enc := json.NewEncoder(c.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
