//go:build linux

package guest

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"understudy/cmd/internal/vmlab/wire"
)

// metadata is what the fence-agents API asks for.
const metadata = `<?xml version="1.0" ?>
<resource-agent name="fence_vmlab" shortdesc="power of the lab's guests">
<longdesc>Switches guests of the lab off and on.</longdesc>
<parameters>
<parameter name="action" unique="0" required="1"><getopt mixed="-o, --action=[action]"/><content type="string" default="reboot"/></parameter>
<parameter name="plug" unique="0" required="1" obsoletes="port"><getopt mixed="-n, --plug=[id]"/><content type="string"/></parameter>
<parameter name="timeout" unique="0" required="0"><getopt mixed="--timeout=[s]"/><content type="second" default="20"/></parameter>
</parameters>
<actions><action name="on" automatic="0"/><action name="off"/><action name="reboot"/><action name="status"/><action name="list"/><action name="monitor"/><action name="metadata"/><action name="validate-all"/></actions>
</resource-agent>
`

// fence is the fence agent (FenceAgentAPI): options as key=value lines on standard
// input or as the few arguments that people use; 0 is success, status answers 0 for
// on and 2 for off, everything else is a failure. do asks the power controller; it
// may never answer.
func fence(in io.Reader, args []string, out, errs io.Writer, do func(wire.Request) wire.Result) int {
	opt := options(in, args)
	plug := opt["plug"]
	for _, k := range []string{"port", "nodename"} {
		if plug == "" {
			plug = opt[k]
		}
	}
	seconds := 20.0
	_, _ = fmt.Sscan(opt["timeout"], &seconds)
	ask := func(action string) wire.Result {
		got := make(chan wire.Result, 1)
		go func() { got <- do(wire.Request{Op: "power", Node: plug, Args: []string{action}}) }()
		select {
		case r := <-got:
			return r
		case <-time.After(time.Duration(seconds * float64(time.Second))):
			return wire.Fail(1, "no answer of the power controller within %v s", seconds)
		}
	}
	action := opt["action"]
	switch action {
	case "metadata":
		_, _ = io.WriteString(out, metadata)
		return 0
	case "validate-all":
		return 0
	case "list", "monitor":
		r := ask("list")
		if action == "list" {
			_, _ = io.WriteString(out, r.Out)
		}
		return fenced(r, errs)
	case "on", "off", "reboot", "status":
		if plug == "" {
			fmt.Fprintln(errs, "fence_vmlab: no plug is given")
			return 1
		}
		r := ask(action)
		if r.Err == "" && action == "status" {
			fmt.Fprintln(out, "Status:", strings.ToUpper(strings.TrimSpace(r.Out)))
		}
		return fenced(r, errs)
	}
	fmt.Fprintln(errs, "fence_vmlab: unknown action", action)
	return 1
}

func fenced(r wire.Result, errs io.Writer) int {
	if r.Err != "" {
		fmt.Fprintln(errs, "fence_vmlab:", r.Err)
		return 1
	}
	return r.Code
}

func options(in io.Reader, args []string) map[string]string {
	opt := map[string]string{"action": "reboot", "timeout": "20"}
	names := map[string]string{"-o": "action", "--action": "action", "-n": "plug", "--plug": "plug", "--timeout": "timeout"}
	for i := 0; i < len(args); i++ {
		name, value, ok := strings.Cut(args[i], "=")
		if !ok && i+1 < len(args) {
			i++
			value = args[i]
		}
		if names[name] != "" {
			opt[names[name]] = value
		}
	}
	if len(args) > 0 {
		return opt
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if k, v, ok := strings.Cut(strings.TrimSpace(lines.Text()), "="); ok && !strings.HasPrefix(k, "#") {
			opt[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	return opt
}
