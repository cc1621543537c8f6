package act

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// socket is a bound socket of this network namespace.
type socket struct {
	protocol string // tcp or udp
	local    netip.AddrPort
	inode    uint64
}

// tcpListen is the state of a listening socket in proc_net_tcp (Linux,
// include/net/tcp_states.h).
const tcpListen = "0A"

// parseSockets reads the text of /proc/net/tcp, tcp6, udp or udp6 (Linux,
// Documentation/networking/proc_net_tcp.rst). Of TCP it gives the listening ones.
func parseSockets(protocol, text string) ([]socket, error) {
	var out []socket
	first := true
	for line := range strings.Lines(text) {
		if first { // names of columns
			first = false
			continue
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < 10 {
			return nil, fmt.Errorf("cannot read socket %.60q", line)
		}
		if protocol == "tcp" && f[3] != tcpListen {
			continue
		}
		local, err := parseSocketAddress(f[1])
		if err != nil {
			return nil, err
		}
		inode, err := strconv.ParseUint(f[9], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read socket %.60q: %w", line, err)
		}
		out = append(out, socket{protocol, local, inode})
	}
	return out, nil
}

// parseSocketAddress reads ADDRESS:PORT in hexadecimal, the address as 32-bit
// numbers that this host's memory would hold in its own order.
func parseSocketAddress(s string) (netip.AddrPort, error) {
	fail := func() (netip.AddrPort, error) {
		return netip.AddrPort{}, fmt.Errorf("cannot read socket address %.60q", s)
	}
	host, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if !ok || err != nil || len(b) != 4 && len(b) != 16 {
		return fail()
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return fail()
	}
	for word := range slices.Chunk(b, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), nil
}
