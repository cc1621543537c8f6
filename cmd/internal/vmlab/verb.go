//go:build linux

package vmlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// Verb is `understudy lab vm …`: it carries out one command line and returns the
// exit code of the contract: 0 shown, 1 failed, 2 usage.
func Verb(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o Options
	var keep, trace, began bool
	root := &cobra.Command{
		Use:   "understudy lab vm",
		Short: "show something on real machines, under qemu",
		Long: `Show something on real machines: guests with Debian's kernel under qemu's software
emulation, with disks that they share. Each scenario prints what it does and what
proves it, and ends with a failure where something is not as claimed.

Needs root, apt with Debian's packages and some 700 MB in the cache folder; no KVM.
The first time, what guests boot is built, which takes one to three minutes. This
program must be linked statically: CGO_ENABLED=0 go run ./cmd/understudy lab vm lvm`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	f.StringVar(&o.Cache, "cache", "", "`folder` of kernel and image (default: understudy/vm in the user's cache folder)")
	f.BoolVar(&keep, "keep", false, "keep the folder of the lab, with consoles and disks")
	f.BoolVar(&trace, "trace", false, "print what happens to the guests, too")
	for _, sc := range Scenarios {
		root.AddCommand(&cobra.Command{
			Use: sc.Name, Short: sc.Short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				began = true
				opts := sc.Lab
				opts.Cache = o.Cache
				if trace {
					opts.Trace = stderr
				}
				return show(cmd.Context(), sc, opts, keep, stdout, stderr)
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

// show runs one scenario in a lab of its own.
func show(ctx context.Context, sc Scenario, opts Options, keep bool, stdout, progress io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("cannot make a lab of machines: that needs root")
	}
	if opts.Program, err = os.Executable(); err != nil {
		return err
	}
	if err := Static(opts.Program); err != nil {
		return err
	}
	if opts.Cache == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("cannot tell the cache folder: %w — name one with --cache", err)
		}
		opts.Cache = filepath.Join(cache, "understudy", "vm")
	}
	if err := Build(ctx, opts.Cache, progress); err != nil {
		return err
	}
	if opts.Dir, err = os.MkdirTemp("", "understudy-vm-"); err != nil {
		return err
	}
	defer func() {
		if keep {
			fmt.Fprintln(progress, "kept:", opts.Dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(opts.Dir))
	}()
	began := time.Now()
	lab, err := Up(opts)
	if err != nil {
		return err
	}
	defer lab.Close()
	for _, n := range lab.nodes {
		limited, cancel := context.WithTimeout(ctx, patience)
		e, err := lab.Wait(limited, 0, n.name, "ready")
		cancel()
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%6.1f s  %s is up: %s\n", e.At.Seconds(), e.Node, e.Note)
	}
	s := &Stage{Lab: lab, out: stdout}
	if err := sc.Run(ctx, s); err != nil {
		s.logs(context.WithoutCancel(ctx))
		return fmt.Errorf("%s: after %d things shown: %w", sc.Name, s.proved, err)
	}
	fmt.Fprintf(stdout, "\n%s: %d things shown in %s: %s\n", sc.Name, s.proved, time.Since(began).Round(time.Second), sc.Short)
	return nil
}
