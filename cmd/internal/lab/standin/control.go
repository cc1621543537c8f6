//go:build linux

package standin

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// dcecp is DCE's control program, as far as probes ask it: dcecp -c OBJECT
// OPERATION. Of an object it asks the server that serves it.
func dcecp(_ *site, args []string) error {
	text := strings.TrimPrefix(strings.Join(args, " "), "-c ")
	switch object, _, _ := strings.Cut(text, " "); object {
	case "endpoint", "host":
		out, err := askMap("unix", mapSocket, "show")
		fmt.Print(out)
		return err
	case "registry", "principal", "account", "keytab":
		return ping("security")
	case "directory", "clearinghouse", "cdscache", "object":
		return ping("directory")
	case "dts":
		return ping("time")
	case "cell", "server":
		if err := errors.Join(ping("security"), ping("directory")); err != nil {
			return err
		}
		fmt.Println("DCE services available")
		return nil
	}
	return fmt.Errorf("cannot do %q", text)
}

// cdscp is the directory's own control program: cdscp show server.
func cdscp(*site, []string) error { return ping("directory") }

// rpccp asks an endpoint mapper for its map: rpccp show mapping
// ncacn_ip_tcp:ADDRESS. Without an address it asks the host's own.
func rpccp(_ *site, args []string) error {
	network, address := "unix", mapSocket
	if n := len(args); n > 0 && strings.HasPrefix(args[n-1], "ncacn_ip_tcp:") {
		network, address = "tcp", fmt.Sprintf("%s:%d", strings.TrimPrefix(args[n-1], "ncacn_ip_tcp:"), epmapPort)
	}
	out, err := askMap(network, address, "show")
	fmt.Print(out)
	return err
}

// ping asks the first endpoint of an interface in the host's map, as a client
// that was given it would.
func ping(iface string) error {
	out, err := askMap("unix", mapSocket, "show")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		name, binding, _ := strings.Cut(strings.TrimSpace(line), " ncacn_ip_tcp:")
		if name != iface {
			continue
		}
		host, port, _ := strings.Cut(strings.TrimSuffix(binding, "]"), "[")
		c, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), startLimit)
		if err != nil {
			return fmt.Errorf("%s: %w", iface, err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(startLimit))
		_, err = io.ReadAll(c)
		return err
	}
	return fmt.Errorf("%s: not registered", iface)
}
