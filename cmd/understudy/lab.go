package main

import (
	"os"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/lab"
	"understudy/cmd/internal/vmlab"
)

// labCommand hands its command line to package lab, which has verbs of its own.
func labCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:                "lab VERB",
		Short:              "a cluster on this machine: up, down, demo, exec, crash, start, cut, heal, …",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && args[0] == "vm" {
				if code := vmlab.Verb(cmd.Context(), args[1:], c.out, c.err); code != exitOK {
					return &exitError{code: code}
				}
				return nil
			}
			if code := lab.Verb(cmd.Context(), args, os.Stdin, c.out, c.err); code != exitOK {
				return &exitError{code: code}
			}
			return nil
		},
	}
}
