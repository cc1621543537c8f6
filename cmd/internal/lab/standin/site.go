//go:build linux

package standin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The places of DCE. /opt/dcelocal/var and /opt/dcelocal/etc are links to /var/dce
// and /etc/dce.
const (
	krbDir   = "/krb5"
	etcDir   = "/opt/dcelocal/etc"
	varDir   = "/opt/dcelocal/var"
	cfFile   = etcDir + "/dce_cf.db"
	parts    = etcDir + "/standin.components" // what of DCE is configured, by name of the daemon
	mapFile  = varDir + "/dced/Ep.db"
	credsDir = varDir + "/security/creds"
	rpcDir   = varDir + "/rpc/local"
	dfsTab   = varDir + "/dfs/dfstab"
	dfsDir   = varDir + "/adm/dfs"

	// LogFile is where every program says what it met. It lies on the shared disk:
	// its order is the order of what happened, on whichever host.
	LogFile = "/var/dce/standin.log"
)

// FaultDir holds the faults of a host: an empty file NAME makes a program
// misbehave. A reboot removes them.
const FaultDir = "/run/standin"

// Faults are the names of the files, and what they do.
var Faults = map[string]string{
	"start.dce.hang":     "it never returns, and has started nothing",
	"start.dce.nothing":  "it exits 0 and has started nothing",
	"start.dce.half":     "it exits 0, and secd ends at once",
	"start.dfs.hang":     "it never returns, and has started nothing",
	"start.dfs.nothing":  "it exits 0 and has started nothing",
	"start.dfs.half":     "it exits 0 and has started bosserver only",
	"stop.dce.nothing":   "it exits 0 and has stopped nothing",
	"stop.dce.keep-open": "it leaves a process that has a file on /var/dce open",
	"stop.dce.stuck":     "something that no signal ends keeps a file on /var/dce open",
	"secd.ignore-term":   "secd does not end on SIGTERM",
}

// site is one program on one host.
type site struct {
	program string
	hold    func(...*os.File) error
}

// fault reports whether this program is to misbehave.
func (s *site) fault(what string) bool {
	_, err := os.Lstat(filepath.Join(FaultDir, s.program+"."+what))
	return err == nil
}

// node is the host's own name, whatever it is called at the moment.
func node() string {
	b, err := os.ReadFile("/etc/hostname")
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(b))
}

// log appends a line to the log on the shared disk and forces it there.
func (s *site) log(format string, args ...any) {
	f, err := os.OpenFile(LogFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s (stand-in): %v\n", s.program, err)
		return
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s %s %s\n", node(), s.program, fmt.Sprintf(format, args...)); err == nil {
		f.Sync()
	}
}

// began logs what the program was started with.
func (s *site) began(more string) {
	line := "hostname=" + hostname()
	for _, name := range []string{netAddrs, "RPC_UNSUPPORTED_NETIFCS", "RPC_UNSUPPORTED_NETIFS"} {
		if v, ok := os.LookupEnv(name); ok {
			line += " " + name + "=" + v
		}
	}
	s.log("%s", strings.TrimSpace(line+" "+more))
}

func hostname() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "?"
	}
	return unix.ByteSliceToString(u.Nodename[:])
}

// configured is the first thing that DCE's own scripts look at.
func configured() error {
	b, err := os.ReadFile(cfFile)
	if err != nil {
		return fmt.Errorf("DCE is not configured here: %w", err)
	}
	for _, key := range []string{"cellname ", "hostname "} {
		if !strings.Contains("\n"+string(b), "\n"+key) {
			return fmt.Errorf("DCE is not configured here: no %sin %s", key, cfFile)
		}
	}
	return nil
}

// components are the daemons of DCE that are configured, in start order.
func components() ([]string, error) {
	b, err := os.ReadFile(parts)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(b)), nil
}

// configDCE configures DCE where its file systems are mounted: config.dce CELL
// HOST DAEMON…. The daemons are those that start.dce starts, dced first.
func configDCE(s *site, args []string) error {
	if len(args) < 3 {
		return errors.New("give the cell, the host's name in it, and the daemons")
	}
	cell, host, names := args[0], args[1], args[2:]
	for _, dir := range []string{varDir + "/dced", credsDir, rpcDir, varDir + "/dfs", dfsDir, etcDir + "/security"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for path, content := range map[string]string{
		cfFile:                  fmt.Sprintf("cellname /.../%s\nhostname hosts/%s\n", cell, host),
		parts:                   strings.Join(names, " ") + "\n",
		krbDir + "/krb.conf":    fmt.Sprintf("%s\n%s %s admin server\n", cell, cell, host),
		krbDir + "/v5srvtab":    "the host's keys\n",
		varDir + "/dced/Acl.db": "dced's own database\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	s.began("cell=" + cell)
	syscall.Sync()
	return nil
}
