//go:build linux

package standin

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// daemon is a program that stays.
type daemon struct {
	run func(s *site, args []string) error
}

var daemons = map[string]daemon{
	"dced":      {runDCED},
	"secd":      {serves("security", 88)},
	"cdsadv":    {serves("", 0)},
	"cdsclerk":  {serves("", 0)},
	"cdsd":      {serves("directory", 0)},
	"dtsd":      {serves("time", 0)},
	"bosserver": {serves("bos", 0)},
	"flserver":  {serves("fldb", 0)},
	"ftserver":  {serves("ftserver", 0)},
	"upserver":  {serves("upserver", 0)},
	"dfsbind":   {serves("", 0)},
	"fxd":       {serves("", 0)},
	"dfsd":      {serves("", 0)},
	"dceapp":    {runApplication},
}

// serves is a server of one interface: it answers with its host's name on a port
// of its own, on every address that it is not told to keep off, and registers
// there. "" serves nothing and is merely there. udp is a port it binds beside.
func serves(iface string, udp int) func(*site, []string) error {
	return func(s *site, _ []string) error {
		if s.program == "secd" {
			if _, err := os.Stat(krbDir + "/v5srvtab"); err != nil {
				ready(err)
				return err
			}
			(&site{program: "start.dce"}).endEarly()
		}
		open, err := register(iface, udp)
		ready(err)
		if err != nil {
			return err
		}
		defer closeAll(open)
		untilTerm(s.fault("ignore-term"))
		if iface != "" {
			askMap("unix", mapSocket, "unregister "+iface) // dced may be gone already
		}
		return nil
	}
}

// endEarly is the fault of a secd that says it is up and ends.
func (s *site) endEarly() {
	if s.fault("half") {
		ready(nil)
		os.Exit(1)
	}
}

func closeAll(open []io.Closer) {
	for _, c := range open {
		c.Close()
	}
}

func register(iface string, udp int) (open []io.Closer, err error) {
	if iface == "" {
		return nil, nil
	}
	ips, err := supported()
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: ip})
		if err != nil {
			return open, err
		}
		open = append(open, l)
		go answer(l, iface)
		if udp != 0 {
			u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: ip, Port: udp})
			if err != nil {
				return open, err
			}
			open = append(open, u)
		}
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return open, err
		}
		if _, err := askMap("unix", mapSocket, fmt.Sprintf("register %s %s %s", iface, ip, port)); err != nil {
			return open, fmt.Errorf("cannot register %s: %w", iface, err)
		}
	}
	return open, nil
}

func answer(l net.Listener, iface string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.SetDeadline(time.Now().Add(startLimit))
		fmt.Fprintf(c, "%s on %s\n", iface, node())
		c.Close()
	}
}

// runApplication is a server of somebody's own that needs DCE: dceapp INTERFACE.
// It stays in the foreground.
func runApplication(s *site, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("give the interface")
	}
	open, err := register(args[0], 0)
	if err != nil {
		return err
	}
	defer closeAll(open)
	untilTerm(false)
	askMap("unix", mapSocket, "unregister "+args[0])
	return nil
}
