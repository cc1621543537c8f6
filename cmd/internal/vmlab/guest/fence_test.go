//go:build linux

package guest

import (
	"strings"
	"testing"

	"understudy/cmd/internal/vmlab/wire"
)

func TestFence(t *testing.T) {
	on := true
	silent := false
	do := func(q wire.Request) wire.Result {
		if silent {
			select {}
		}
		if q.Node != "n1" && q.Args[0] != "list" {
			return wire.Fail(1, "no such guest")
		}
		switch q.Args[0] {
		case "off", "on":
			on = q.Args[0] == "on"
		case "status":
			if on {
				return wire.Result{Out: "on"}
			}
			return wire.Result{Code: 2, Out: "off"}
		case "list":
			return wire.Result{Out: "n1,\n"}
		}
		return wire.Result{}
	}
	for _, tc := range []struct {
		in, args string
		code     int
		out      string
	}{
		{"action=metadata\n", "", 0, `<action name="off"/>`},
		{"action=status\nplug=n1\n", "", 0, "Status: ON"},
		{"# remark\naction=off\nport=n1\n", "", 0, ""},
		{"action=status\nplug=n1\n", "", 2, "Status: OFF"},
		{"", "-o status -n n1", 2, "Status: OFF"},
		{"", "--action=on --plug=n1", 0, ""},
		{"action=status\nnodename=n1\n", "", 0, "Status: ON"},
		{"action=list\n", "", 0, "n1,"},
		{"action=monitor\n", "", 0, ""},
		{"action=validate-all\n", "", 0, ""},
		{"action=off\nplug=n9\n", "", 1, ""},
		{"action=off\n", "", 1, ""},
		{"action=boil\nplug=n1\n", "", 1, ""},
	} {
		var out, errs strings.Builder
		if code := fence(strings.NewReader(tc.in), strings.Fields(tc.args), &out, &errs, do); code != tc.code || !strings.Contains(out.String(), tc.out) {
			t.Errorf("%q %q: %d %q %q", tc.in, tc.args, code, out.String(), errs.String())
		}
	}
	silent = true
	var errs strings.Builder
	if code := fence(strings.NewReader("action=off\nplug=n1\ntimeout=0.05\n"), nil, &strings.Builder{}, &errs, do); code != 1 || !strings.Contains(errs.String(), "no answer") {
		t.Error(code, errs.String())
	}
}
