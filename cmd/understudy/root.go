package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/api"
	"understudy/config"
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
		Version:       version,
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
		runCommand(c), witnessCommand(c), checkCommand(c), planCommand(c), applyCommand(c), statusCommand(c),
		moveCommand(c), confirmCommand(c), clearCommand(c), whyCommand(c), historyCommand(c), fsmCommand(c), labCommand(c),
	)
	for _, cmd := range root.Commands() {
		usageArgs(cmd)
	}
	return root
}

// usageArgs makes a wrong number of arguments a usage error.
func usageArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &exitError{exitUsage, fmt.Sprintf("%v — usage: %s", err, cmd.UseLine())}
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
	data, err := os.ReadFile(c.config)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w — name it with --config", err)
	}
	cfg, err := config.Parse(c.config, data)
	if fs, ok := errors.AsType[config.Findings](err); ok {
		for _, f := range fs {
			fmt.Fprintln(c.err, f)
		}
		return nil, fmt.Errorf("cannot use %s: %d %s", c.config, len(fs), plural(len(fs), "finding"))
	}
	return cfg, err
}

// self is this node's name, which must be in the file.
func (c *common) self(cfg *config.Config) (string, error) {
	name := c.node
	if name == "" {
		host, err := os.Hostname()
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
