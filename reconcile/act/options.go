package act

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"understudy/config"
	"understudy/reconcile"
)

// Options is what a Host needs to know.
type Options struct {
	// StateDir is where saved host names, records of started programs and their
	// output are kept. It must be on a local file system that survives a reboot.
	StateDir string
	// Config names the service addresses that are announced again while they are
	// here. Nil announces none again.
	Config *config.Config
	// Node is the name of this node. A fence of it is refused.
	Node string
	// Log receives what was done. Nil discards it.
	Log *slog.Logger
	// OnOutput, if set, is given every line that a start or stop command wrote,
	// after the command has ended.
	OnOutput func(group, app, line string)
	// Look reads the applications anew. Start, Verify, Stop and ProveRelease use
	// it for their postconditions and fail without it if daemons are declared.
	Look func(ctx context.Context) ([]reconcile.AppState, error)

	// sysBlock stands for /sys/block in tests.
	sysBlock string
	// Reboot asks for a reboot of this host and returns when it is under way; atOnce:
	// without writing anything back. Nil: a reboot fails.
	Reboot func(ctx context.Context, atOnce bool) error
}

// HolderKind says what kind of thing keeps a mount busy.
type HolderKind string

// The kinds of holders.
const (
	HeldByProcess   HolderKind = "process"         // an open file, a working or root directory, a program or a mapping
	HeldByLoop      HolderKind = "loop device"     // backed by a file on the mount
	HeldBySwap      HolderKind = "swap file"       // on the mount
	HeldByMount     HolderKind = "nested mount"    // on a directory of the mount
	HeldByNamespace HolderKind = "mount namespace" // has the device mounted, too; does not stop the unmount but the release
	HeldByExport    HolderKind = "nfs export"      // of the kernel's NFS server
)

// Holder is one thing that keeps a mount busy, or its device after the unmount.
type Holder struct {
	Kind    HolderKind
	PID     int    // HeldByProcess; HeldByNamespace: one process that lives in it
	Start   uint64 // HeldByProcess: clock ticks after boot, field 22 of proc_pid_stat(5)
	Command string // HeldByProcess, HeldByNamespace: its name, as in /proc/PID/comm
	What    string // "has /krb5/db open", "/dev/loop3 backed by /krb5/image"
}

// String names the holder for an error.
func (h Holder) String() string {
	if h.PID != 0 {
		return fmt.Sprintf("%s %d %s", h.Command, h.PID, h.What)
	}
	return fmt.Sprintf("%s %s", h.Kind, h.What)
}

// nameHolders lists holders for an error, at most eight of them.
func nameHolders(hs []Holder) string {
	const most = 8
	var b strings.Builder
	for i, h := range hs {
		if i == most {
			fmt.Fprintf(&b, "; and %d more", len(hs)-most)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(h.String())
	}
	return b.String()
}
