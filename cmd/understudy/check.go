package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"understudy/config"
)

func checkCommand(c *common) *cobra.Command {
	var explain, host, fences bool
	cmd := &cobra.Command{
		Use:   "check [--explain] [--host] [--fences]",
		Short: "check the file, or print it with every default filled in",
		Long: `Check the configuration file alone: nothing of this host is looked at and
nothing is changed. Every finding has a rule, a line and a way out; warnings do
not refuse the file. Of every group is told which of the four configurations for
DCE and DFS it amounts to, and why. With --explain the file is printed with
every default filled in. With --host this host is looked at as well, as by
` + "`understudy prepare`" + `, and what matters before it is armed is told; with --fences
every fence device is asked whether its node has power (nothing is switched),
and every agent for the options it knows. Exit 4 if something must be mended by
hand.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := c.readConfig()
			if err != nil {
				return err
			}
			own, err := c.readProfiles()
			if err != nil {
				return err
			}
			cfg, findings := config.CheckWith(c.config, data, own)
			var seen []hostFinding
			if host && cfg != nil {
				if seen, err = c.checkHost(cmd.Context(), cfg); err != nil {
					return err
				}
			}
			var answers []fenceAnswer
			if fences && cfg != nil {
				node, _ := c.self(cfg) // a host that is in no file may ask, too
				answers = checkFences(cmd.Context(), cfg, node)
			}
			if c.json {
				if findings == nil {
					findings = []config.Finding{}
				}
				v := map[string]any{"ok": cfg != nil, "findings": findings}
				if cfg != nil {
					v["groups"] = amounts(cfg)
				}
				if explain && cfg != nil {
					v["explained"] = string(config.Explain(cfg))
				}
				if seen != nil {
					v["host"] = seen
				}
				if fences && cfg != nil {
					v["fences"] = answers
				}
				if err := c.printJSON(v); err != nil {
					return err
				}
			} else {
				for _, f := range findings {
					fmt.Fprintln(c.err, f)
				}
				for _, f := range seen {
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
				for _, g := range amounts(cfg) {
					is := string(g.Configuration)
					if is == "" {
						is = "none of the four configurations"
					}
					fmt.Fprintf(c.out, "group %s: %s, as %s\n", g.Name, is, g.Why)
				}
			}
			var verdict error
			if host {
				verdict = c.hostVerdict(seen)
			}
			if fences {
				verdict = errors.Join(verdict, c.tellFences(answers))
			}
			return verdict
		},
	}
	cmd.Flags().BoolVar(&host, "host", false, "look at this host too")
	cmd.Flags().BoolVar(&fences, "fences", false, "ask every fence device for its status")
	cmd.Flags().BoolVar(&explain, "explain", false, "print the file with every default filled in")
	return cmd
}

// groupAmounts is which of the guide's configurations a group amounts to, "" if none.
type groupAmounts struct {
	Name          string               `json:"name"`
	Configuration config.Configuration `json:"configuration"`
	Why           string               `json:"why"`
}

func amounts(cfg *config.Config) []groupAmounts {
	out := make([]groupAmounts, len(cfg.Groups))
	for i := range cfg.Groups {
		is, why := cfg.Amounts(&cfg.Groups[i])
		out[i] = groupAmounts{Name: cfg.Groups[i].Name, Configuration: is, Why: why}
	}
	return out
}
