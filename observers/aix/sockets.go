package aix

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Socket is a socket that something listens on, or receives at.
type Socket struct {
	Protocol string     // tcp or udp
	Addr     netip.Addr // the zero Addr: every address of the host
	Port     uint16
}

// String is ADDRESS:PORT/PROTOCOL.
func (s Socket) String() string {
	if !s.Addr.IsValid() {
		return fmt.Sprintf("*:%d/%s", s.Port, s.Protocol)
	}
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(s.Addr, s.Port), s.Protocol)
}

// ParseSockets reads the internet sockets from what netstat -an prints: lines "tcp4
// 0 0 10.1.2.3.22 *.* LISTEN", where a star is every address and the port stands
// behind the last dot. Of TCP it gives those that listen.
func ParseSockets(text string) ([]Socket, error) {
	text, _, _ = strings.Cut(text, "Active UNIX domain sockets")
	_, rest, ok := strings.Cut(text, "Local Address")
	_, rest, more := strings.Cut(rest, "\n")
	if !ok || !more {
		return nil, errors.New("cannot read what netstat prints: it has no heading")
	}
	out := []Socket{}
	for line := range strings.SplitSeq(rest, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		s := Socket{Protocol: strings.TrimRight(f[0], "46")}
		if s.Protocol != "tcp" && s.Protocol != "udp" {
			continue // raw sockets, and headings of further tables
		}
		if len(f) < 5 {
			return nil, fmt.Errorf("cannot read what netstat prints: %.120q is not a socket", line)
		}
		if s.Protocol == "tcp" && f[len(f)-1] != "LISTEN" {
			continue
		}
		i := strings.LastIndexByte(f[3], '.')
		if i < 0 {
			return nil, fmt.Errorf("cannot read what netstat prints: %.60q is not an address with a port", f[3])
		}
		host, port := f[3][:i], f[3][i+1:]
		if port == "*" {
			continue // not bound yet
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("cannot read what netstat prints: %.60q has no port", f[3])
		}
		s.Port = uint16(n)
		if host != "*" {
			ip, err := netip.ParseAddr(host)
			if err != nil {
				return nil, fmt.Errorf("cannot read what netstat prints: %.60q is not an address", host)
			}
			s.Addr = ip.WithZone("").Unmap()
		}
		out = append(out, s)
	}
	return out, nil
}

// Sockets lists the internet sockets that something listens on or receives at.
func (s *System) Sockets(ctx context.Context) ([]Socket, error) {
	text, err := s.Run(ctx, "netstat", "-an")
	if err != nil {
		return nil, fmt.Errorf("cannot list sockets: %w", err)
	}
	return ParseSockets(text)
}
