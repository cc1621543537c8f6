package act

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/reconcile"
)

// addAddress adds a service address to a link and announces it. See
// [reconcile.AddAddress].
func (h *Host) addAddress(ctx context.Context, s reconcile.AddAddress) error {
	ip := s.Address.Prefix.Addr()
	fail := func(err error) error {
		return fmt.Errorf("cannot add %s (%s) to %s: %w", s.Address.Prefix, s.Address.Label, s.Link, err)
	}
	link, err := usableLink(s.Link)
	if err != nil {
		return fail(err)
	}
	all, err := allAddresses()
	if err != nil {
		return fail(err)
	}
	var wrong []held // the address on another link, with another prefix, or refused
	for _, on := range all {
		if !on.has(ip) {
			continue
		}
		if right := on.addr.LinkIndex == link.Attrs().Index && on.bits() == s.Address.Prefix.Bits(); right && on.addr.Flags&(unix.IFA_F_DADFAILED|unix.IFA_F_TENTATIVE) == 0 {
			if err := announce(link, ip); err != nil {
				return fail(err)
			}
			if err := lead(link, ip, s.Besides); err != nil {
				return fail(err)
			}
			h.burst(link, ip, false)
			return nil
		}
		wrong = append(wrong, on)
	}

	if s.Probe > 0 && ip.Is4() && speaksARP(link) {
		if err := probe(ctx, link, ip, s.Probe); err != nil {
			return fail(err)
		}
	}
	for _, on := range wrong {
		if err := h.deleteAddress(ctx, all, on); err != nil {
			return fail(err)
		}
	}
	if ctx.Err() != nil {
		return stopped(ctx, "add "+s.Address.Prefix.String())
	}
	if err := h.flights.do(ctx, "add "+s.Address.Prefix.String()+" to "+s.Link, func() error { return put(link, s) }, nil); err != nil {
		return fail(err)
	}
	if err := h.settled(ctx, link, s); err != nil {
		return fail(err)
	}
	if err := lead(link, ip, s.Besides); err != nil {
		return fail(err)
	}
	if err := announce(link, ip); err != nil {
		return fail(err)
	}
	h.burst(link, ip, s.Probe == 0)
	h.log.InfoContext(ctx, "address added and announced", "address", s.Address.Prefix, "link", s.Link, "label", s.Address.Label)
	return nil
}

// put adds the address; one that is there already is fine.
func put(link netlink.Link, s reconcile.AddAddress) error {
	ip, bits := s.Address.Prefix.Addr(), s.Address.Prefix.Bits()
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(bits, ip.BitLen())}}
	if ip.Is4() {
		addr.Label = label(s.Link, s.Address.Label)
	} else if s.Probe == 0 || !speaksARP(link) {
		addr.Flags = unix.IFA_F_NODAD
	}
	switch err := netlink.AddrAdd(link, addr); {
	case err == nil, errors.Is(err, unix.EEXIST):
		return nil
	case (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) && ip.Is6():
		return fmt.Errorf("%w — IPv6 may be off on the link: sysctl net.ipv6.conf.%s.disable_ipv6=0", err, s.Link)
	default:
		return err
	}
}

// settled waits until the kernel shows the address as usable: at once for IPv4,
// after duplicate address detection for IPv6. If another host has it, it is
// removed again. An address that is still in doubt when ctx ends is removed, too.
func (h *Host) settled(ctx context.Context, link netlink.Link, s reconcile.AddAddress) error {
	ip := s.Address.Prefix.Addr()
	for step := time.Millisecond; ; step = min(2*step, 25*time.Millisecond) {
		on, err := holdersOfAddress(ip)
		if err != nil {
			return err
		}
		var mine *held
		for i := range on {
			if on[i].addr.LinkIndex == link.Attrs().Index && on[i].bits() == s.Address.Prefix.Bits() {
				mine = &on[i]
			}
		}
		switch {
		case mine == nil:
			return errors.New("the kernel said yes, but the link does not have it — something else removes it")
		case mine.addr.Flags&unix.IFA_F_DADFAILED != 0:
			err := fmt.Errorf("another host on %s has it (duplicate address detection failed) — a former holder that has not let go, or a foreign host", s.Link)
			return errors.Join(err, remove(*mine))
		case mine.addr.Flags&unix.IFA_F_TENTATIVE == 0:
			return nil
		}
		if !pause(ctx, step) {
			err := fmt.Errorf("duplicate address detection has not ended: %w", context.Cause(ctx))
			return errors.Join(err, remove(*mine))
		}
	}
}

// remove deletes an address and the routes that were led over it; one that is gone
// is fine.
func remove(on held) error {
	if ip, ok := netip.AddrFromSlice(on.addr.IP); ok && ip.Unmap().Is6() {
		if err := unlead(ip.Unmap()); err != nil {
			return err
		}
	}
	err := netlink.AddrDel(on.link, &netlink.Addr{IPNet: on.addr.IPNet, Label: on.addr.Label})
	if err == nil || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("cannot delete %s from %s: %w", on.addr.IPNet, on.link.Attrs().Name, err)
}

func (h *Host) deleteAddress(ctx context.Context, all []held, on held) error {
	if err := keepNeighbours(all, on); err != nil {
		return fmt.Errorf("cannot delete %s from %s: %w", on.addr.IPNet, on.link.Attrs().Name, err)
	}
	if err := remove(on); err != nil {
		return err
	}
	h.log.InfoContext(ctx, "address removed", "address", on.addr.IPNet.String(), "link", on.link.Attrs().Name)
	return nil
}

// dropAddress removes a service address from every link that has it, whatever
// its prefix length there. See [reconcile.DropAddress].
func (h *Host) dropAddress(ctx context.Context, s reconcile.DropAddress) error {
	ip := s.Address.Prefix.Addr()
	h.silence(ip)
	all, err := allAddresses()
	if err != nil {
		return fmt.Errorf("cannot drop %s: %w", s.Address.Label, err)
	}
	for _, on := range all {
		if on.has(ip) {
			if err := h.deleteAddress(ctx, all, on); err != nil {
				return fmt.Errorf("cannot drop %s: %w", s.Address.Label, err)
			}
		}
	}
	left, err := holdersOfAddress(ip)
	if err != nil {
		return fmt.Errorf("cannot prove that %s is gone: %w", ip, err)
	}
	if len(left) > 0 {
		return fmt.Errorf("cannot drop %s: %s is on %s again — something else adds it (a network manager?)", s.Address.Label, ip, left[0].link.Attrs().Name)
	}
	return nil
}

// addressesHere lists which of the addresses are on this host, for the proof of
// release.
func addressesHere(ips []netip.Addr) ([]string, error) {
	all, err := allAddresses()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, ip := range ips {
		for _, on := range all {
			if on.has(ip) {
				out = append(out, fmt.Sprintf("%s is on %s", ip, on.link.Attrs().Name))
			}
		}
	}
	return out, nil
}
