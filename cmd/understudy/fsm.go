package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"understudy/fsm"
)

func fsmCommand(c *common) *cobra.Command {
	var format, group string
	cmd := &cobra.Command{
		Use:   "fsm [--format text|markdown|dot|svg] [--group GROUP]",
		Short: "print the state machine, as a table or as a picture",
		Long: `Print the state machine of a node in a group: every role, every event, and the
sentence that says why. With --group the present role of this node in that group
is lit in the picture; the resident service is asked for it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var current *fsm.Role
			if group != "" && format != "svg" {
				return &exitError{exitUsage, "cannot light a role outside of the picture — add --format svg"}
			}
			if group != "" {
				st, err := c.client().Status(cmd.Context())
				if err != nil {
					return err
				}
				for _, g := range st.Groups {
					if g.Group == group {
						for _, r := range fsm.Roles {
							if r.String() == g.Role {
								current = &r
							}
						}
					}
				}
				if current == nil {
					return &exitError{exitUsage, fmt.Sprintf("cannot find group %q on %s", group, st.Node)}
				}
			}
			switch format {
			case "text":
				return fsm.Text(c.out)
			case "markdown":
				return fsm.Markdown(c.out)
			case "dot":
				return fsm.DOT(c.out)
			case "svg":
				return fsm.SVG(c.out, current)
			}
			return &exitError{exitUsage, fmt.Sprintf("cannot print the machine as %q — use text, markdown, dot or svg", format)}
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, markdown, dot or svg")
	cmd.Flags().StringVar(&group, "group", "", "light the present role of this node in a `group`")
	return cmd
}
