package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"understudy/config"
)

func checkCommand(c *common) *cobra.Command {
	var explain bool
	cmd := &cobra.Command{
		Use:   "check [--explain]",
		Short: "check the file, or print it with every default filled in",
		Long: `Check the configuration file alone: nothing of this host is looked at and
nothing is changed. Every finding has a rule, a line and a way out. With
--explain the file is printed with every default filled in.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			data, err := c.readConfig()
			if err != nil {
				return err
			}
			own, err := c.readProfiles()
			if err != nil {
				return err
			}
			cfg, findings := config.CheckWith(c.config, data, own)
			if c.json {
				if findings == nil {
					findings = []config.Finding{}
				}
				v := map[string]any{"ok": cfg != nil, "findings": findings}
				if explain && cfg != nil {
					v["explained"] = string(config.Explain(cfg))
				}
				if err := c.printJSON(v); err != nil {
					return err
				}
			} else {
				for _, f := range findings {
					fmt.Fprintln(c.err, f)
				}
			}
			if cfg == nil {
				return &exitError{exitFailed, fmt.Sprintf("%s is refused: %d %s", c.config, len(findings), plural(len(findings), "finding"))}
			}
			switch {
			case explain && !c.json:
				_, err = c.out.Write(config.Explain(cfg))
				return err
			case !c.json:
				fmt.Fprintf(c.out, "%s: cluster %s, %d %s, %d %s: fine", c.config, cfg.Cluster,
					len(cfg.Nodes), plural(len(cfg.Nodes), "node"), len(cfg.Groups), plural(len(cfg.Groups), "group"))
				if len(findings) > 0 {
					fmt.Fprintf(c.out, ", with %d %s", len(findings), plural(len(findings), "warning"))
				}
				fmt.Fprintln(c.out)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&explain, "explain", false, "print the file with every default filled in")
	return cmd
}
