//go:build linux

package vmlab

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
)

// Verb is `understudy lab vm …`: it carries out one command line and returns the
// exit code of the contract: 0 all shown, 1 something failed, 2 usage.
func Verb(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP) // a terminal that goes away leaves nothing behind, either
	defer stop()
	r := runner{out: stdout, progress: stderr}
	var began bool
	root := &cobra.Command{
		Use:   "understudy lab vm",
		Short: "show something on real machines, under qemu",
		Long: `Show something on real machines: guests with Debian's kernel under qemu's software
emulation, with disks that they share. Each scenario prints what it does and what
proves it, and ends with a failure where something is not as claimed. "all" runs
every one, each in a lab of its own, goes on after one that failed, and closes with
a table; so does the name of a scenario that is followed by those of others.

Needs root, apt with Debian's packages and some 700 MB in the cache folder; no KVM.
The first time, what guests boot is built, which takes one to three minutes. This
program must be linked statically: CGO_ENABLED=0 go run ./cmd/understudy lab vm all`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	f.StringVar(&r.cache, "cache", "", "`folder` of kernel and image (default: understudy/vm in the user's cache folder)")
	f.BoolVar(&r.keep, "keep", false, "keep the folder of the lab, with consoles and disks")
	f.BoolVar(&r.trace, "trace", false, "print what happens to the guests, too")
	root.AddCommand(&cobra.Command{
		Use: "all", Short: "every scenario, one after the other, with a table at the end", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			began = true
			return r.run(cmd.Context(), Scenarios)
		},
	})
	for _, sc := range Scenarios {
		root.AddCommand(&cobra.Command{
			Use: sc.Name + " [SCENARIO...]", Short: sc.Short,
			RunE: func(cmd *cobra.Command, more []string) error {
				chosen := []Scenario{sc}
				for _, name := range more {
					i := slices.IndexFunc(Scenarios, func(sc Scenario) bool { return sc.Name == name })
					if i < 0 {
						return fmt.Errorf("cannot find scenario %q — see understudy lab vm --help", name)
					}
					chosen = append(chosen, Scenarios[i])
				}
				began = true
				return r.run(cmd.Context(), chosen)
			},
		})
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "understudy:", err)
	if began {
		return 1
	}
	return 2
}
