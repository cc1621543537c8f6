package aix

import (
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Interface is one interface as ifconfig -a prints it.
type Interface struct {
	Name    string
	Up      bool // flag UP
	Running bool // flag RUNNING: the driver has what it needs
	Addrs   []netip.Prefix
}

// ParseIfconfig reads what ifconfig -a prints: a line "name: flags=…<UP,…>" for an
// interface, and below it lines that begin with a blank, of which those of inet
// and inet6 hold its addresses. What else stands there (tcp_sendspace and the
// like) is left alone. An address without a netmask counts as one of a host.
func ParseIfconfig(text string) ([]Interface, error) {
	out := []Interface{}
	for n, line := range strings.Split(text, "\n") {
		fail := func(err error) error { return fmt.Errorf("cannot read what ifconfig prints: line %d: %w", n+1, err) }
		if strings.TrimSpace(line) == "" {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			i, err := parseInterface(line)
			if err != nil {
				return nil, fail(err)
			}
			out = append(out, i)
			continue
		}
		f := strings.Fields(line)
		if f[0] != "inet" && f[0] != "inet6" {
			continue
		}
		if len(out) == 0 || len(f) < 2 {
			return nil, fail(fmt.Errorf("%.80q is an address of no interface", line))
		}
		p, err := parseAddress(f)
		if err != nil {
			return nil, fail(err)
		}
		i := &out[len(out)-1]
		i.Addrs = append(i.Addrs, p)
	}
	return out, nil
}

func parseInterface(line string) (Interface, error) {
	name, rest, ok := strings.Cut(line, ":")
	from, to := strings.IndexByte(rest, '<'), strings.LastIndexByte(rest, '>')
	if !ok || name == "" || strings.ContainsAny(name, " \t") || !strings.HasPrefix(strings.TrimSpace(rest), "flags=") || from < 0 || to < from {
		return Interface{}, fmt.Errorf("%.80q is not an interface with flags", line)
	}
	flags := strings.Split(rest[from+1:to], ",")
	return Interface{Name: name, Up: slices.Contains(flags, "UP"), Running: slices.Contains(flags, "RUNNING")}, nil
}

// parseAddress takes "inet A netmask 0x… broadcast B" and "inet6 A%zone/bits".
func parseAddress(f []string) (netip.Prefix, error) {
	text, length := f[1], -1
	if addr, n, ok := strings.Cut(text, "/"); ok {
		v, err := strconv.Atoi(n)
		if err != nil || v < 0 {
			return netip.Prefix{}, fmt.Errorf("%.40q is not the length of a prefix", n)
		}
		text, length = addr, v
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%.60q is not an address", text)
	}
	ip = ip.WithZone("")
	if ip.Is4() != (f[0] == "inet") {
		return netip.Prefix{}, fmt.Errorf("%s is not an address of %s", ip, f[0])
	}
	if i := slices.Index(f, "netmask"); i > 0 && i+1 < len(f) {
		mask, err := strconv.ParseUint(strings.TrimPrefix(f[i+1], "0x"), 16, 32)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%.40q is not a netmask", f[i+1])
		}
		length = bits.LeadingZeros32(^uint32(mask))
		if bits.OnesCount32(uint32(mask)) != length {
			return netip.Prefix{}, fmt.Errorf("netmask %s has holes", f[i+1])
		}
	}
	if length < 0 {
		length = ip.BitLen()
	}
	p := netip.PrefixFrom(ip, length)
	if !p.IsValid() {
		return netip.Prefix{}, fmt.Errorf("%s cannot have a prefix of %d bits", ip, length)
	}
	return p, nil
}

// Adapter is what netstat -in says of an interface beside its addresses.
type Adapter struct {
	Name  string
	Index int
	MAC   string // "" if it has none
}

// ParseNetstat reads what netstat -in prints: for each interface one line whose
// network is link#N, with its hardware address, and one line for each address.
// AIX prints a hardware address with dots and without leading zeros. A star
// behind the name says that the interface is down.
func ParseNetstat(text string) ([]Adapter, error) {
	lines := strings.Split(text, "\n")
	first := strings.Fields(lines[0])
	if len(first) < 4 || first[0] != "Name" || first[1] != "Mtu" || first[2] != "Network" {
		return nil, fmt.Errorf("cannot read what netstat prints: %.80q is not its heading", lines[0])
	}
	out := []Adapter{}
	for n, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) < 3 || !strings.HasPrefix(f[2], "link#") {
			continue
		}
		index, err := strconv.Atoi(strings.TrimPrefix(f[2], "link#"))
		if err != nil || index <= 0 {
			return nil, fmt.Errorf("cannot read what netstat prints: line %d: %.40q has no number", n+2, f[2])
		}
		a := Adapter{Name: strings.TrimSuffix(f[0], "*"), Index: index}
		if len(f) > 3 {
			a.MAC = hardwareAddress(f[3], ".")
		}
		out = append(out, a)
	}
	return out, nil
}

// hardwareAddress writes six bytes as others do, "" if text is not of that form.
func hardwareAddress(text, separator string) string {
	parts := strings.Split(text, separator)
	if len(parts) != 6 {
		return ""
	}
	mac := make(net.HardwareAddr, 6)
	for i, p := range parts {
		b, err := strconv.ParseUint(p, 16, 8)
		if err != nil || len(p) > 2 {
			return ""
		}
		mac[i] = byte(b)
	}
	return mac.String()
}

// Carrier is what an adapter says of its wire.
type Carrier int

// What it may say.
const (
	CarrierUnknown Carrier = iota // it says nothing, as adapters of a virtual machine do
	CarrierDown
	CarrierUp
)

// ParseEntstat reads from entstat -d whether the wire answers. Adapters of
// different makes call it "Link Status" or "Physical Port Link State"; an
// EtherChannel prints it for each of its adapters, and one of them is enough.
func ParseEntstat(text string) Carrier {
	state := CarrierUnknown
	for line := range strings.SplitSeq(text, "\n") {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		key = strings.TrimSpace(key)
		if !ok || key != "Link Status" && key != "Physical Port Link State" && key != "Physical Port Link Status" {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(value)) {
		case "up":
			return CarrierUp
		case "down":
			state = CarrierDown
		}
	}
	return state
}

// ParseARP reads from arp -an which host answers for an address, "" if the table
// has no complete entry for it: "? (192.0.2.1) at 0:4:ac:5e:34:b5 [ethernet] …".
func ParseARP(text string, ip netip.Addr) string {
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Fields(line)
		for i := 1; i+2 < len(f); i++ {
			if f[i] == "("+ip.String()+")" && f[i+1] == "at" {
				return hardwareAddress(f[i+2], ":")
			}
		}
	}
	return ""
}
