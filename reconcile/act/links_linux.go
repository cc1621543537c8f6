package act

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// held is an address as a link has it.
type held struct {
	link netlink.Link
	addr netlink.Addr
}

func (h held) has(ip netip.Addr) bool {
	got, ok := netip.AddrFromSlice(h.addr.IP)
	return ok && got.Unmap() == ip
}

// bits is the prefix length.
func (h held) bits() int { n, _ := h.addr.Mask.Size(); return n }

// allAddresses reads every address of every link, anew if the kernel says that
// the table changed while it was read.
func allAddresses() ([]held, error) {
	var err error
	for range 10 {
		var links []netlink.Link
		if links, err = netlink.LinkList(); err != nil {
			if errors.Is(err, netlink.ErrDumpInterrupted) {
				continue
			}
			break
		}
		byIndex := make(map[int]netlink.Link, len(links))
		for _, l := range links {
			byIndex[l.Attrs().Index] = l
		}
		var addrs []netlink.Addr
		if addrs, err = netlink.AddrList(nil, netlink.FAMILY_ALL); err != nil {
			if errors.Is(err, netlink.ErrDumpInterrupted) {
				continue
			}
			break
		}
		out := make([]held, 0, len(addrs))
		whole := true
		for _, a := range addrs {
			l := byIndex[a.LinkIndex]
			if whole = l != nil; !whole { // a link came in between
				break
			}
			out = append(out, held{l, a})
		}
		if whole {
			return out, nil
		}
		err = errors.New("links come and go all the time")
	}
	return nil, fmt.Errorf("cannot read the addresses of this host: %w", err)
}

// holdersOfAddress lists where an address is on this host.
func holdersOfAddress(ip netip.Addr) ([]held, error) {
	all, err := allAddresses()
	if err != nil {
		return nil, err
	}
	var out []held
	for _, h := range all {
		if h.has(ip) {
			out = append(out, h)
		}
	}
	return out, nil
}

// ownMACs are the hardware addresses of this host.
func ownMACs() ([]net.HardwareAddr, error) {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("cannot read the links of this host: %w", err)
	}
	var out []net.HardwareAddr
	for _, l := range links {
		if mac := l.Attrs().HardwareAddr; len(mac) > 0 {
			out = append(out, mac)
		}
	}
	return out, nil
}

// usableLink finds a link that is up and has a carrier.
func usableLink(name string) (netlink.Link, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", name, err)
	}
	switch flags := l.Attrs().RawFlags; {
	case flags&unix.IFF_UP == 0:
		return nil, fmt.Errorf("link %s is down — ip link set %s up", name, name)
	case flags&unix.IFF_LOWER_UP == 0:
		return nil, fmt.Errorf("link %s has no carrier — look at cable and switch port", name)
	}
	return l, nil
}

// speaksARP reports whether neighbours on a link are found by their hardware
// address.
func speaksARP(l netlink.Link) bool {
	a := l.Attrs()
	return a.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0 && len(a.HardwareAddr) == 6
}

// label is the name of an IPv4 address: the link's, a colon, and the service
// label, cut to the kernel's 15 bytes (IFNAMSIZ less the final zero). The link's
// name is never cut, since old programs find the address by it.
func label(link, name string) string {
	const longest = unix.IFNAMSIZ - 1
	s := link + ":" + name
	if len(s) > longest {
		s = s[:longest]
	}
	return strings.TrimSuffix(s, ":")
}

// keepNeighbours makes sure that deleting one address does not take others of
// the same subnet along: the kernel deletes the secondary addresses with their
// primary one unless it may promote one of them (ip-sysctl, promote_secondaries).
func keepNeighbours(all []held, gone held) error {
	if gone.addr.IP.To4() == nil || gone.addr.Flags&unix.IFA_F_SECONDARY != 0 {
		return nil
	}
	for _, o := range all {
		if o.addr.LinkIndex == gone.addr.LinkIndex && o.addr.Flags&unix.IFA_F_SECONDARY != 0 && o.addr.IP.To4() != nil && gone.addr.Contains(o.addr.IP) {
			path := "/proc/sys/net/ipv4/conf/" + gone.link.Attrs().Name + "/promote_secondaries"
			if err := os.WriteFile(path, []byte("1"), 0); err != nil {
				return fmt.Errorf("deleting it would delete %s, too: %w — sysctl net.ipv4.conf.all.promote_secondaries=1", o.addr.IP, err)
			}
			return nil
		}
	}
	return nil
}
