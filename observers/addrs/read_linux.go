package addrs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/reconcile"
)

// attempts is how often a listing that the kernel reports as interrupted, or in
// which links and addresses do not fit together, is made again.
const attempts = 8

// Read lists every link by index, and every address of every link in the
// kernel's order.
func Read(ctx context.Context) ([]reconcile.Link, []reconcile.Addr, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot list addresses: %w", err)
	}
	defer h.Close()
	why := errors.New("not tried")
	for range attempts {
		if err := ctx.Err(); err != nil {
			return nil, nil, fmt.Errorf("cannot list addresses: %w", err)
		}
		links, addrs, err := list(h)
		if err == nil {
			return links, addrs, nil
		}
		if why = err; !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, errMoved) {
			break
		}
	}
	return nil, nil, fmt.Errorf("cannot list addresses: %w", why)
}

// errMoved says that links and addresses were listed at different moments.
var errMoved = errors.New("an interface came while addresses were listed")

func list(h *netlink.Handle) ([]reconcile.Link, []reconcile.Addr, error) {
	raw, err := h.LinkList()
	if err != nil {
		return nil, nil, err
	}
	rawAddrs, err := h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, nil, err
	}
	links := make([]reconcile.Link, 0, len(raw))
	names := make(map[int]string, len(raw))
	for _, l := range raw {
		a := l.Attrs()
		names[a.Index] = a.Name
		links = append(links, reconcile.Link{
			Index:   a.Index,
			Name:    a.Name,
			MAC:     a.HardwareAddr.String(),
			Up:      a.RawFlags&unix.IFF_UP != 0,
			Carrier: carrier(a),
		})
	}
	slices.SortFunc(links, func(a, b reconcile.Link) int { return a.Index - b.Index })
	addrs := make([]reconcile.Addr, 0, len(rawAddrs))
	for _, a := range rawAddrs {
		name, ok := names[a.LinkIndex]
		if !ok {
			return nil, nil, errMoved
		}
		if a.IPNet == nil {
			return nil, nil, fmt.Errorf("an address of %s has no value", name)
		}
		ip, ok := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		if !ok {
			return nil, nil, fmt.Errorf("an address of %s has %d bytes", name, len(a.IP))
		}
		if v4 := ip.Unmap(); a.IP.To4() != nil && len(a.Mask) == 4 {
			ip = v4
		}
		addrs = append(addrs, reconcile.Addr{
			Link:      name,
			Prefix:    netip.PrefixFrom(ip, bits),
			Label:     a.Label,
			Tentative: a.Flags&unix.IFA_F_TENTATIVE != 0,
			Conflict:  a.Flags&unix.IFA_F_DADFAILED != 0,
		})
	}
	return links, addrs, nil
}

// carrier says whether the wire answers: the driver sees a partner, and what
// lies above it (802.1X, a lower device) lets traffic pass (RFC 2863; a link of
// unknown operational state, such as the loopback, has only the flag).
func carrier(a *netlink.LinkAttrs) bool {
	if a.RawFlags&unix.IFF_LOWER_UP == 0 {
		return false
	}
	return a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown
}
