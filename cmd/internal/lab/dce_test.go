//go:build linux

package lab

import (
	"slices"
	"strings"
	"testing"

	"understudy/cmd/internal/lab/standin"
)

// The stand-ins by hand: what is registered where, what a start finds of an
// earlier life, and a kernel that does not let go.
func TestStandIns(t *testing.T) {
	ctx, l := up(t, Options{Profile: ProfileDCE, DiskMiB: 32})
	must(t, l.ConfigureDFS(ctx, Alpha))
	const mount = "mount /dev/shared0 /krb5 && mount /dev/shared1 /etc/dce && mount /dev/shared2 /var/dce"
	sh(ctx, t, l, Alpha, mount)
	if got := sh(ctx, t, l, Alpha, "readlink /opt/dcelocal/var; ls -d /... /usr/bin/start.dce"); got != "/var/dce\n/...\n/usr/bin/start.dce" {
		t.Errorf("installed: %s", got)
	}
	const unsupported = "RPC_UNSUPPORTED_NETADDRS=10.7.0.11 RPC_UNSUPPORTED_NETIFCS=storage "
	sh(ctx, t, l, Alpha, unsupported+"start.dce && dcecp -c cell ping")
	got := sh(ctx, t, l, Client, "rpccp show mapping ncacn_ip_tcp:10.7.0.11")
	if strings.Count(got, "10.8.0.11[") != 2 || strings.Contains(got, "10.7.0.11[") {
		t.Errorf("the map: %s", got)
	}
	if got := sh(ctx, t, l, Alpha, "ss -Hltun 'sport = :135' | awk '{ print $5 }' | sort"); got != "0.0.0.0%public:135\n0.0.0.0%public:135" {
		t.Errorf("dced listens at %s", got)
	}
	// A start after a crash is given the map of the life before, and the dead of it.
	sh(ctx, t, l, Alpha, "pkill -KILL -f ^/opt/dcelocal/bin && start.dce")
	if got := sh(ctx, t, l, Alpha, "grep -c endpoints= "+standin.LogFile+"; rpccp show mapping | wc -l; dcecp -c cell ping 2>&1; true"); !strings.HasPrefix(got, "2\n6\n") || !strings.Contains(got, "refused") {
		t.Errorf("after a crash: %s", got)
	}
	sh(ctx, t, l, Alpha, "stop.dce && test -z \"$(ls -A /var/dce/security/creds/dcecred* 2>/dev/null)\" && rm /var/dce/dced/Ep.db && start.dce && start.dfs && bos status && stop.dfs && stop.dce")
	if _, errs, code, err := l.Exec(ctx, Alpha, "umount", "/var/dce"); err != nil || code == 0 || !strings.Contains(errs, "busy") {
		t.Errorf("the kernel of DFS let go: exit %d, %s %v", code, errs, err)
	}
	must(t, l.Crash(ctx, Alpha))
	sh(ctx, t, l, Beta, mount+" && umount /var/dce")
}

func TestStandInPrograms(t *testing.T) {
	all := standin.Programs()
	for _, want := range []string{"/usr/bin/start.dce", "/usr/bin/stop.dfs", "/opt/dcelocal/bin/dced", "/opt/dcelocal/bin/fxd"} {
		if !slices.Contains(all, want) {
			t.Errorf("no %s in %v", want, all)
		}
	}
	if handled, _ := standin.Dispatch([]string{"understudy", "run"}, nil); handled {
		t.Error("understudy is taken for one of DCE's programs")
	}
}
