//go:build linux

package guest

import (
	"fmt"
	"os"
	"syscall"
)

// SystemdParameters are those of a kernel whose guest runs systemd: all of its journal
// goes to the console as well, its own limits are long enough for emulation, and there
// is nobody to log in.
var SystemdParameters = []string{
	"vmlab.init=systemd", "systemd.journald.forward_to_console=1", "systemd.journald.max_level_console=info", "systemd.show_status=0",
	"systemd.default_timeout_start_sec=600", "systemd.mask=getty.target", "systemd.mask=serial-getty@ttyS0.service",
	"systemd.mask=apt-daily.timer", "systemd.mask=apt-daily-upgrade.timer", "systemd.mask=e2scrub_all.timer", "systemd.mask=e2scrub_reap.service", "systemd.mask=fstrim.timer",
}

// agentUnit runs the lab's agent. It has no place in the order of a shutdown: it answers
// until everything that is left is killed.
const agentUnit = `[Unit]
Description=agent of the lab
DefaultDependencies=no
After=local-fs.target

[Service]
ExecStart=%s %s %s %s
Environment=HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
KillMode=process
Restart=always
`

// interfaces is what ifupdown is told: a shutdown takes the addresses away.
const interfaces = `auto lo eth0 eth1
iface lo inet loopback
iface eth0 inet static
	address 10.77.0.%[1]s/24
iface eth1 inet static
	address 10.77.1.%[1]s/24
`

// systemd leaves process 1 to systemd and never returns.
func systemd(p map[string]string) {
	const wants = "/etc/systemd/system/multi-user.target.wants"
	a := agentArguments
	try("units", os.MkdirAll(wants, 0o755))
	try("agent's unit", os.WriteFile("/etc/systemd/system/vmlab-agent.service", fmt.Appendf(nil, agentUnit, Program, a[0], a[1], a[2]), 0o644))
	if err := os.Symlink("../vmlab-agent.service", wants+"/vmlab-agent.service"); err != nil && !os.IsExist(err) {
		say("agent's unit: %v", err)
	}
	try("interfaces", os.MkdirAll("/etc/network", 0o755))
	try("interfaces", os.WriteFile("/etc/network/interfaces", fmt.Appendf(nil, interfaces, p["vmlab.idx"]), 0o644))
	disks(p)
	must("systemd", syscall.Exec("/sbin/init", []string{"/sbin/init"}, os.Environ()))
}
