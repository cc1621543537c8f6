//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// Verb is `understudy lab …`: it carries out one command line and returns the
// exit code of the contract: 0 done, 1 failed, 2 usage; for exec, the program's.
func Verb(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &verbs{in: stdin, out: stdout, err: stderr}
	root := c.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return c.exit
	}
	fmt.Fprintln(stderr, "understudy:", err)
	if c.began {
		return 1
	}
	return 2 // cobra refused the command line
}

type verbs struct {
	in       io.Reader
	out, err io.Writer
	name     string
	o        Options
	tuned    bool
	began    bool
	exit     int
}

func (c *verbs) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "understudy lab",
		Short:         "a cluster on this machine, of namespaces; needs root",
		Long:          "A cluster on this machine, of namespaces; needs root. What namespaces cannot\nshow is shown on emulated machines: understudy lab vm --help",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringVar(&c.name, "name", "demo", "the `name` of the lab; several may run side by side")
	root.AddCommand(c.up(), c.down(), c.hosts(), c.exec(), c.log(), c.demo(), c.bench(), c.chaos(),
		c.on("crash", "cut a host's power", func(ctx context.Context, l *Lab, h string, _ []string) error { return l.Crash(ctx, h) }, false),
		c.on("start", "switch a host on", func(ctx context.Context, l *Lab, h string, _ []string) error { return l.Start(ctx, h) }, false),
		c.on("freeze", "stop every process of a host; its network and its clocks go on", func(ctx context.Context, l *Lab, h string, _ []string) error { return l.Freeze(ctx, h) }, false),
		c.on("thaw", "continue a frozen host", func(ctx context.Context, l *Lab, h string, _ []string) error { return l.Thaw(ctx, h) }, false),
		c.on("cut", "take a host off networks, all if none is named; its carrier stays", func(ctx context.Context, l *Lab, h string, n []string) error { return l.Cut(ctx, h, n...) }, true),
		c.on("heal", "undo cut", func(ctx context.Context, l *Lab, h string, n []string) error { return l.Heal(ctx, h, n...) }, true),
		c.on("link-down", "pull a host's cables, all if none is named; its carrier goes", func(ctx context.Context, l *Lab, h string, n []string) error { return l.LinkDown(ctx, h, n...) }, true),
		c.on("link-up", "undo link-down", func(ctx context.Context, l *Lab, h string, n []string) error { return l.LinkUp(ctx, h, n...) }, true),
		c.power())
	for _, cmd := range root.Commands() {
		run := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			c.began = true
			return run(cmd, args)
		}
	}
	return root
}

// made are the flags of the verbs that make a lab.
func (c *verbs) made(cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.BoolVar(&c.tuned, "tuned", false, "keep-alives every 50 ms and silence after 250 ms, instead of the defaults")
	f.StringVar(&c.o.Policy, "policy", "", "policy of the group: cascading or rotating")
	f.StringVar(&c.o.Profile, "profile", "", "dce: stand-ins for DCE's daemons before the lab's application")
	f.StringVar(&c.o.Dir, "dir", "", "`folder` for disks and logs, on a disk (default /var/lib/understudy-lab/NAME)")
	f.StringVar(&c.o.Binary, "binary", "", "`program` that the hosts run (default this one)")
	f.IntVar(&c.o.Nice, "nice", 0, "niceness of the whole lab")
	return cmd
}

func (c *verbs) options() Options {
	o := c.o
	o.Name = c.name
	if c.tuned {
		o.Timers = TunedTimers
	}
	return o
}

func (c *verbs) up() *cobra.Command {
	idle := false
	cmd := c.made(&cobra.Command{
		Use:   "up",
		Short: "make a lab: alpha, beta, witness, client; it stays until `down`",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := c.options()
			o.Services = !idle
			l, err := Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.out, "lab %s is up: understudy lab exec --name %s alpha understudy status\n", l.Name, l.Name)
			return nil
		},
	})
	cmd.Flags().BoolVar(&idle, "idle", false, "do not start the resident services")
	return cmd
}

func (c *verbs) down() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "end a lab; nothing of it is left",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return Down(cmd.Context(), c.name) },
	}
}

// on is a verb that does one thing to one host.
func (c *verbs) on(name, short string, do func(context.Context, *Lab, string, []string) error, nets bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name + " HOST",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := Open(c.name)
			if err != nil {
				return err
			}
			return do(cmd.Context(), l, args[0], args[1:])
		},
	}
	if nets {
		cmd.Use += " [NETWORK…]"
		cmd.Args = cobra.MinimumNArgs(1)
	}
	return cmd
}

func (c *verbs) power() *cobra.Command {
	cmd := c.on("power", "set how the power controller treats a host: ok, fail, hang, lie, slow:DURATION",
		func(ctx context.Context, l *Lab, h string, rest []string) error { return l.SetPower(ctx, h, rest[0]) }, false)
	cmd.Use = "power HOST MODE"
	cmd.Args = cobra.ExactArgs(2)
	return cmd
}

func (c *verbs) hosts() *cobra.Command {
	return &cobra.Command{
		Use:   "hosts",
		Short: "list the hosts, their faults, and what was on two of them at once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := Open(c.name)
			if err != nil {
				return err
			}
			hosts, err := l.Hosts(cmd.Context())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "HOST\tSTATE\tBOOT\tPOWER\tFAULTS")
			for _, h := range hosts {
				fmt.Fprintf(w, "%s\t%s\t%.8s\t%s\t%s\n", h.Name, h.word(), h.BootID, h.Power, h.faults())
			}
			w.Flush()
			viol, err := l.Violations(cmd.Context())
			for _, v := range viol {
				fmt.Fprintf(c.out, "VIOLATION: %s\n", v)
			}
			return err
		},
	}
}

func (h HostState) word() string {
	switch {
	case !h.On:
		return "off"
	case h.Frozen:
		return "frozen"
	}
	return "on"
}

func (h HostState) faults() string {
	var all []string
	for n := range h.Cut {
		all = append(all, n+" cut")
	}
	for n := range h.Pulled {
		all = append(all, n+" link down")
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (c *verbs) exec() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec HOST COMMAND [ARGUMENT…]",
		Short: "run a command on a host, with its exit status",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := Open(c.name)
			if err != nil {
				return err
			}
			argv := args[1:]
			if argv[0] == "--" && len(argv) > 1 {
				argv = argv[1:]
			}
			c.exit, err = l.Run(cmd.Context(), args[0], Command{Argv: argv, Stdin: c.in, Stdout: c.out, Stderr: c.err})
			return err
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows the host is the command's
	return cmd
}

func (c *verbs) log() *cobra.Command {
	return &cobra.Command{
		Use:   "log HOST",
		Short: "print what a host's services have written",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := Open(c.name)
			if err != nil {
				return err
			}
			text, err := l.Log(args[0])
			if errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("cannot find host %q in lab %s", args[0], l.Name)
			}
			if err == nil {
				_, err = io.WriteString(c.out, text)
			}
			return err
		},
	}
}

func (c *verbs) demo() *cobra.Command {
	return c.made(&cobra.Command{
		Use:   "demo",
		Short: "show a takeover, a reintegration, repairs and a move, with what a client sees",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return Demo(cmd.Context(), c.options(), c.out) },
	})
}

func (c *verbs) bench() *cobra.Command {
	var b BenchOptions
	cmd := c.made(&cobra.Command{
		Use:   "bench",
		Short: "measure the outage a client sees, case by case, and what an idle cluster costs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return Bench(cmd.Context(), c.options(), b, c.out, c.err)
		},
	})
	cmd.Flags().IntVar(&b.Runs, "runs", 7, "runs of every case")
	cmd.Flags().StringSliceVar(&b.Cases, "case", nil, "cases (default all): "+strings.Join(benchNames(), ", "))
	cmd.Flags().DurationVar(&b.Idle, "idle", time.Minute, "how long the case idle looks")
	cmd.Flags().BoolVar(&b.JSON, "json", false, "print one JSON document at the end")
	return cmd
}
