package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
)

// selfFence resets this host without a word to its disks: what they hold is not
// to be written any more. Another node takes over on the evidence of another boot.
func selfFence(log *slog.Logger) {
	if err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART); err != nil {
		log.Error("host was not reset", "err", err)
	}
}

// rebootHost begins a reboot of this host: in order through systemd where that is
// process 1, else by reboot(2), which ends nothing first. At once means the latter,
// and that nothing is written back. A power-off that is under way stays one: systemd
// refuses another job then.
func rebootHost(ctx context.Context, atOnce bool) error {
	first, err := os.ReadFile("/proc/1/comm")
	if !atOnce && err == nil && strings.TrimSpace(string(first)) == "systemd" {
		if out, err := exec.CommandContext(ctx, "systemctl", "reboot").CombinedOutput(); err != nil {
			return fmt.Errorf("systemctl reboot: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	return syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
}

// raisePriority keeps keep-alives and renewals on time when the host is busy.
// Linux counts niceness by thread, and a new thread takes that of its maker, so
// every thread there is by now is raised.
func raisePriority(log *slog.Logger) {
	tasks, err := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		var tid int
		if _, serr := fmt.Sscan(t.Name(), &tid); serr == nil {
			err = errors.Join(err, syscall.Setpriority(syscall.PRIO_PROCESS, tid, -15))
		}
	}
	if err != nil {
		log.Warn("priority was not raised; a busy host may miss its keep-alives", "err", err)
	}
}

// tellReady tells systemd that the first pass has been made (sd_notify(3)).
func tellReady() error {
	_, err := daemon.SdNotify(false, daemon.SdNotifyReady)
	return err
}

// tellStopping tells systemd that the program ends.
func tellStopping() error {
	_, err := daemon.SdNotify(false, daemon.SdNotifyStopping)
	return err
}

// ownsSystem reports whether files of a user are as good as root's.
func ownsSystem(uid uint32) bool { return uid == 0 }
