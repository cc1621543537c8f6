//go:build linux

package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// The exit codes of a fence agent (FenceAgentAPI.md of ClusterLabs/fence-agents).
const (
	fenceOK    = 0 // done; for status: the plug is on
	fenceError = 1
	fenceOff   = 2 // for status: the plug is off
)

// fenceMain is fence_lab: a fence agent for the power controller of a lab. It
// reads key=value lines, or the few options that people type.
func fenceMain(args []string, in io.Reader, out, errw io.Writer) int {
	opt, err := fenceOptions(args, in)
	if err != nil {
		fmt.Fprintf(errw, "fence_lab: %v\n", err)
		return fenceError
	}
	socket := opt["socket"]
	if socket == "" {
		socket = socketsInside + "/" + powerSocket
	}
	code, err := fence(opt["action"], opt["plug"], socket, out)
	if err != nil {
		fmt.Fprintf(errw, "fence_lab: %v\n", err)
		return fenceError
	}
	return code
}

func fenceOptions(args []string, in io.Reader) (map[string]string, error) {
	opt := map[string]string{"action": "reboot"} // the default of every agent
	set := func(key, value string) {
		switch key {
		case "port", "n", "nodename":
			key = "plug"
		case "option", "o":
			key = "action"
		}
		opt[key] = value
	}
	if len(args) == 0 {
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			line := strings.TrimSpace(lines.Text())
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if key, value, ok := strings.Cut(line, "="); ok {
				set(strings.TrimSpace(key), strings.TrimSpace(value))
			}
		}
		return opt, lines.Err()
	}
	for i := 0; i < len(args); i++ {
		name := strings.TrimLeft(args[i], "-")
		if key, value, ok := strings.Cut(name, "="); ok {
			set(key, value)
			continue
		}
		if i++; i == len(args) || name == args[i-1] {
			return nil, fmt.Errorf("cannot use argument %q — give --action=ACTION and --plug=HOST, or key=value lines on standard input", name)
		}
		set(name, args[i])
	}
	return opt, nil
}

func fence(action, plug, socket string, out io.Writer) (int, error) {
	ctx, cancel := within(context.Background(), time.Hour) // the caller has its own limit
	defer cancel()
	ask := func(op string) (string, error) {
		if plug == "" {
			return "", fmt.Errorf("cannot do %q: no plug given", op)
		}
		var state string
		err := call(ctx, socket, request{Op: op, Host: plug}, &state)
		return state, err
	}
	must := func(op, want string) error {
		state, err := ask(op)
		if err == nil && state != want {
			err = fmt.Errorf("cannot switch %s %s: it is %q", plug, want, state)
		}
		return err
	}
	switch action {
	case "metadata":
		_, err := io.WriteString(out, fenceMetadata)
		return fenceOK, err
	case "monitor":
		return fenceOK, call(ctx, socket, request{Op: powerPing}, nil)
	case "list", "list-status", "validate-all":
		var names []string
		if err := call(ctx, socket, request{Op: powerList}, &names); err != nil {
			return fenceError, err
		}
		known := false
		for _, n := range names {
			known = known || n == plug
			if action != "validate-all" {
				fmt.Fprintf(out, "%s,\n", n)
			}
		}
		if action == "validate-all" && !known {
			return fenceError, fmt.Errorf("cannot find plug %q", plug)
		}
		return fenceOK, nil
	case "off":
		return fenceOK, must(powerOff, powerOff)
	case "on":
		return fenceOK, must(powerOn, powerOn)
	case "reboot":
		if err := must(powerOff, powerOff); err != nil {
			return fenceError, err
		}
		return fenceOK, must(powerOn, powerOn)
	case "status":
		state, err := ask(powerAsk)
		if err != nil {
			return fenceError, err
		}
		fmt.Fprintf(out, "Status: %s\n", strings.ToUpper(state))
		if state == powerOff {
			return fenceOff, nil
		}
		return fenceOK, nil
	}
	return fenceError, fmt.Errorf("cannot do action %q", action)
}

const fenceMetadata = `<?xml version="1.0" ?>
<resource-agent name="fence_lab" shortdesc="Fence agent for a lab of namespaces">
<longdesc>fence_lab asks the power controller of an understudy lab. An off that succeeds means that
the host is off its networks, its processes are gone and its disks are released.</longdesc>
<vendor-url></vendor-url>
<parameters>
	<parameter name="action" unique="0" required="1">
		<getopt mixed="-o, --action=[action]" />
		<content type="string" default="reboot" />
		<shortdesc lang="en">Fencing action</shortdesc>
	</parameter>
	<parameter name="plug" unique="0" required="1" obsoletes="port">
		<getopt mixed="-n, --plug=[host]" />
		<content type="string" />
		<shortdesc lang="en">Name of the host</shortdesc>
	</parameter>
	<parameter name="socket" unique="0" required="0">
		<getopt mixed="--socket=[path]" />
		<content type="string" default="/run/lab/power.sock" />
		<shortdesc lang="en">Socket of the power controller</shortdesc>
	</parameter>
</parameters>
<actions>
	<action name="on" automatic="0" />
	<action name="off" />
	<action name="reboot" />
	<action name="status" />
	<action name="list" />
	<action name="monitor" />
	<action name="metadata" />
	<action name="validate-all" />
</actions>
</resource-agent>
`

func fenceEntry(args []string) int { return fenceMain(args, os.Stdin, os.Stdout, os.Stderr) }
