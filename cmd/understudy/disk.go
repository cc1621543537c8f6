package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"understudy/config"
	"understudy/reconcile/lease/disk"
)

func diskCommand(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disk",
		Short: "make and show the store on a shared disk",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(diskInit(c), diskShow(c))
	return cmd
}

// diskConfig reads the file and the secret of a cluster with a store on a disk.
func (c *common) diskConfig() (*config.Config, [][]byte, error) {
	cfg, err := c.load()
	if err != nil {
		return nil, nil, err
	}
	if cfg.Lease.Store != config.StoreDisk {
		return nil, nil, &exitError{exitUsage, fmt.Sprintf("cannot use a disk: %s declares the store %q", c.config, cfg.Lease.Store)}
	}
	keys, err := readKeys(cfg.KeyFile)
	return cfg, keys, err
}

func diskInit(c *common) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "init",
		Short: "make the store on the device that the file names, once for all nodes",
		Long: `Make the store on the device that [lease] names: a header with the cluster, its
nodes and a random id, and empty slots. One node does it, once, before the first
start. Nodes added to the file later need it made anew: stop every node first.

A device on which anything is found is refused: a signature that blkid knows, or
a byte that is not zero. --force overwrites it. One that is mounted is always
refused. With --force over the store of a cluster that runs, every node loses
its lease, and who held what is forgotten.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, keys, err := c.diskConfig()
			if err != nil {
				return err
			}
			h := disk.Header{Cluster: cfg.Cluster}
			for _, n := range cfg.Nodes {
				h.Nodes = append(h.Nodes, n.Name)
			}
			if err := disk.Format(cfg.Lease.Device, h, keys[0], force); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "made the store of %s for %s on %s, %d KiB\n", cfg.Cluster, strings.Join(h.Nodes, ", "), cfg.Lease.Device, h.Size()>>10)
			return err
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "overwrite what is on the device")
	return cmd
}

func diskShow(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "read the store on the disk past every service, and write nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, keys, err := c.diskConfig()
			if err != nil {
				return err
			}
			dev, err := disk.OpenDevice(cfg.Lease.Device)
			if err != nil {
				return err
			}
			d, err := disk.Inspect(cmd.Context(), dev, keys[0], keys[1:], cfg.Lease.Request)
			if err != nil {
				return err
			}
			if c.json {
				return json.NewEncoder(c.out).Encode(d)
			}
			fmt.Fprintf(c.out, "store of %s, id %s, for %s\n", d.Cluster, d.ID, strings.Join(d.Nodes, ", "))
			for _, s := range d.Slots {
				what := "never used"
				if s.Node != "" {
					what = fmt.Sprintf("%s, boot %s, incarnation %d, sequence %d, begun %d, voted %d", s.Node, s.Boot, s.Incarnation, s.Sequence, s.Begun, s.Voted)
				}
				if s.Error != "" {
					what = s.Error
				}
				fmt.Fprintf(c.out, "slot %d  %s\n", s.Slot, what)
			}
			return nil
		},
	}
}
