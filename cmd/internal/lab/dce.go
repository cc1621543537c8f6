//go:build linux

package lab

import (
	"context"
	"fmt"
	"strings"

	"understudy/cmd/internal/lab/standin"
)

// The shared disks of a lab with DCE, one for each of the file systems that the
// guide puts on shared storage, and an aggregate of DFS.
const (
	DCEDisks     = 4
	AggregateDev = "/dev/shared3"
)

// startDCE is among the files of every installation.
const startDCE = "/usr/bin/start.dce"

// ProfileDCE is the profile that a lab can have.
const ProfileDCE = "dce"

// The cell that [Lab.ConfigureDCE] configures.
const (
	CellName = "lab.example"
	CellHost = "dcesvc"
)

// DCEFilesystems are the group's file systems as TOML tables of the group.
func DCEFilesystems(group string) string {
	var b strings.Builder
	for i, mount := range dceMounts {
		fmt.Fprintf(&b, "\n[[group.%s.filesystem]]\nmount  = %q\ndevice = \"/dev/shared%d\"\ntype   = \"ext4\"\n", group, mount, i)
	}
	return b.String()
}

var dceMounts = []string{"/krb5", "/etc/dce", "/var/dce"}

// DCEFiles are an installation of the stand-ins for DCE and DFS on every node,
// and of their client's programs on the client: programs, links and mount
// points. Nothing is configured.
func DCEFiles() []File {
	files := []File{
		{Path: "/opt/dcelocal/var", Link: "/var/dce"},
		{Path: "/opt/dcelocal/etc", Link: "/etc/dce"},
		{Path: "/...", Folder: true},
		{Path: "/usr/bin/rpccp", Program: true, Hosts: []string{Client}},
	}
	for _, mount := range dceMounts {
		files = append(files, File{Path: mount, Folder: true})
	}
	for _, path := range standin.Programs() {
		files = append(files, File{Path: path, Program: true})
	}
	return files
}

// ConfigureDCE configures DCE's daemons on the shared disks, from a host that is
// on and has them free. It is what a person does once, on the first node (guide,
// "Setting Up HACMP for DCE and DFS").
func (l *Lab) ConfigureDCE(ctx context.Context, host string, daemons ...string) error {
	var on, off strings.Builder
	for i, mount := range dceMounts {
		fmt.Fprintf(&on, "mount /dev/shared%d %s; ", i, mount)
		fmt.Fprintf(&off, "umount %s; ", mount)
	}
	script := "set -e; " + on.String() + strings.Join(append([]string{"config.dce", CellName, CellHost}, daemons...), " ") + "; " + off.String()
	if err := l.script(ctx, host, script); err != nil {
		return fmt.Errorf("cannot configure DCE on %s: %w", host, err)
	}
	return nil
}

// prepareDCE is the day before the first start.
func (l *Lab) prepareDCE(ctx context.Context, services bool) error {
	if err := l.ConfigureDCE(ctx, Alpha, "dced", "secd", "cdsadv", "cdsd"); err != nil || !services {
		return err
	}
	return l.EnableServices(ctx)
}

// ConfigureDFS has DFS export the aggregate, after [Lab.ConfigureDCE].
func (l *Lab) ConfigureDFS(ctx context.Context, host string) error {
	const at = "/dev/shared2 /var/dce"
	err := l.script(ctx, host, "set -e; mount "+at+"; echo '"+AggregateDev+" agg1 lfs 1' >/var/dce/dfs/dfstab; umount /var/dce")
	if err != nil {
		return fmt.Errorf("cannot configure DFS on %s: %w", host, err)
	}
	return nil
}

// script runs lines of a shell on a host; the first that fails ends it.
func (l *Lab) script(ctx context.Context, host, lines string) error {
	out, errs, code, err := l.Exec(ctx, host, "sh", "-c", lines)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit %d: %s%s", code, out, errs)
	}
	return err
}
