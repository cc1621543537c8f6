package main

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// selfFence restarts this host without writing its disks back (reboot -n) and
// without ending its processes first (reboot -q); both flags are in IBM's reference
// of the command. There is no call for it that this program could make itself.
func selfFence(log *slog.Logger) {
	if out, err := exec.Command("/usr/sbin/reboot", "-n", "-q").CombinedOutput(); err != nil {
		log.Error("host was not reset", "err", err, "said", string(out))
	}
}

// rebootHost begins a reboot of this host: in order through shutdown -F -r, at once
// through reboot -n -q.
func rebootHost(ctx context.Context, atOnce bool) error {
	argv := []string{"/usr/sbin/shutdown", "-F", "-r"}
	if atOnce {
		argv = []string{"/usr/sbin/reboot", "-n", "-q"}
	}
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// raisePriority keeps keep-alives on time when the host is busy. AIX counts
// niceness by process.
func raisePriority(log *slog.Logger) {
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, -15); err != nil {
		log.Warn("priority was not raised; a busy host may miss its keep-alives", "err", err)
	}
}

// tellReady does nothing: the System Resource Controller takes a process for
// active as soon as it runs.
func tellReady() error { return nil }

// tellStopping does nothing; see [tellReady].
func tellStopping() error { return nil }

// ownsSystem reports whether files of a user are as good as root's. AIX installs /usr,
// /var and most of what is in them as user 2, bin, whom nobody can log in as.
func ownsSystem(uid uint32) bool { return uid == 0 || uid == 2 }
