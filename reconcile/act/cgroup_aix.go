package act

import (
	"context"
	"errors"
	"os/exec"

	"understudy/reconcile"
)

// cgroup is always "" here: AIX has nothing that knows every process a command has
// started, whatever session it moved to. What is left of an application is known by
// its daemons' declaration and by the session of its start command.
type cgroup string

func cgroupFor(string, string) (cgroup, error) { return "", nil }

func (cgroup) start(*exec.Cmd) error {
	return errors.New("there are no control groups on this system")
}

func (cgroup) processes() ([]reconcile.Process, error) { return nil, nil }
func (cgroup) populated() (bool, error)                { return false, nil }
func (cgroup) kill(context.Context) error              { return nil }
func (cgroup) remove() error                           { return nil }
