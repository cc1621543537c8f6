//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestKilledSupervisorLeavesNothing(t *testing.T) {
	ctx, l := up(t, Options{DiskMiB: 32})
	sh(ctx, t, l, Alpha, "mkdir /srv/shared && mount /dev/shared0 /srv/shared")
	must(t, l.Freeze(ctx, Beta))
	pid, _ := l.Processes()
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	must(t, l.Wait(ctx, "the end of everything", func(context.Context) (bool, error) {
		left := Left(l.Name, l.Dir())
		if len(left) > 0 {
			return false, fmt.Errorf("%s", strings.Join(left, "\n"))
		}
		return true, nil
	}))
}

func TestKilledMakerLeavesNothing(t *testing.T) {
	needRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	name := "k" + strconv.Itoa(os.Getpid()%100000)
	maker := maker(t, name)
	l, err := Open(name)
	must(t, err)
	must(t, maker.Kill())
	must(t, l.Wait(ctx, "the end of everything", func(context.Context) (bool, error) {
		left := Left(name, l.Dir())
		if len(left) > 0 {
			return false, fmt.Errorf("%s", strings.Join(left, "\n"))
		}
		return true, nil
	}))
	must(t, Down(ctx, name)) // and again
}

func TestDownOfNothing(t *testing.T) {
	needRoot(t)
	must(t, Down(t.Context(), "nothing"))
	must(t, os.MkdirAll(runDir("stale"), 0o700))
	must(t, Down(t.Context(), "stale"))
	if _, err := os.Lstat(runDir("stale")); err == nil {
		t.Error("a stale directory is left")
	}
}
