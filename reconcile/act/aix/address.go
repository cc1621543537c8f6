package aix

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	look "understudy/observers/aix"
	"understudy/reconcile"
)

// AddAddress adds a service address to a link. There is no ARP probe of our own on
// AIX: before the address is added, a careful caller has another holder looked for
// with ping, and the ARP table then tells who answered, also for a host that drops
// pings. Nothing is announced by this program either: AIX sends a gratuitous ARP
// when an address is configured.
func (h *Host) AddAddress(ctx context.Context, link string, p netip.Prefix, careful bool) error {
	fail := func(err error) error { return fmt.Errorf("cannot add %s to %s: %w", p, link, err) }
	if link == "" || strings.HasPrefix(link, "-") || !p.IsValid() {
		return fail(errors.New("link or address are none"))
	}
	links, addrs, err := h.See.Network(ctx)
	if err != nil {
		return fail(err)
	}
	if err := usable(links, link); err != nil {
		return fail(err)
	}
	var wrong []reconcile.Addr
	for _, a := range addrs {
		if a.Prefix.Addr() != p.Addr() {
			continue
		}
		if a.Link == link && a.Prefix.Bits() == p.Bits() {
			return nil
		}
		wrong = append(wrong, a)
	}
	if careful && len(wrong) == 0 {
		if err := h.probe(ctx, p.Addr()); err != nil {
			return fail(err)
		}
	}
	for _, a := range wrong {
		if err := h.delete(ctx, a); err != nil {
			return fail(err)
		}
	}
	argv := []string{"ifconfig", link, p.Addr().String(), "netmask", net.IP(net.CIDRMask(p.Bits(), 32)).String(), "alias"}
	if p.Addr().Is6() {
		argv = []string{"ifconfig", link, "inet6", "alias", p.String()}
	}
	if err := h.run(ctx, argv...); err != nil {
		return fail(err)
	}
	_, addrs, err = h.See.Network(ctx)
	if err != nil {
		return fail(err)
	}
	for _, a := range addrs {
		if a.Link == link && a.Prefix == p {
			h.Log.InfoContext(ctx, "address added", "address", p.String(), "link", link)
			return nil
		}
	}
	return fail(errors.New("ifconfig said yes, but the link does not have it"))
}

func usable(links []reconcile.Link, name string) error {
	for _, l := range links {
		switch {
		case l.Name != name:
		case !l.Up:
			return fmt.Errorf("link %s is down — ifconfig %s up", name, name)
		case !l.Carrier:
			return fmt.Errorf("link %s has no carrier — look at cable and switch port (entstat -d)", name)
		default:
			return nil
		}
	}
	return fmt.Errorf("there is no link %s — lsdev -Cc if", name)
}

// probe looks for another holder of an address: by ping, and where nobody answers,
// in the ARP table, which is rid of an old entry first.
func (h *Host) probe(ctx context.Context, ip netip.Addr) error {
	if ip.Is6() {
		return nil // AIX does duplicate address detection itself
	}
	if err := h.run(ctx, "arp", "-d", ip.String()); err != nil && !failed(err) {
		return err
	}
	err := h.run(ctx, "ping", "-c", "1", "-w", "1", ip.String())
	if err == nil {
		return fmt.Errorf("another host answers for %s — a former holder that has not let go, or a foreign host", ip)
	}
	if !failed(err) {
		return err
	}
	text, err := h.See.Run(ctx, "arp", "-an")
	if err != nil {
		return err
	}
	if mac := look.ParseARP(text, ip); mac != "" {
		return fmt.Errorf("%s answers for %s — a former holder that has not let go, or a foreign host; find it by its hardware address", mac, ip)
	}
	return nil
}

func (h *Host) delete(ctx context.Context, a reconcile.Addr) error {
	argv := []string{"ifconfig", a.Link, a.Prefix.Addr().String(), "delete"}
	if a.Prefix.Addr().Is6() {
		argv = []string{"ifconfig", a.Link, "inet6", a.Prefix.Addr().String(), "delete"}
	}
	if err := h.run(ctx, argv...); err != nil {
		return err
	}
	h.Log.InfoContext(ctx, "address removed", "address", a.Prefix.String(), "link", a.Link)
	return nil
}

// DropAddress removes an address from every link that has it.
func (h *Host) DropAddress(ctx context.Context, ip netip.Addr) error {
	fail := func(err error) error { return fmt.Errorf("cannot drop %s: %w", ip, err) }
	_, addrs, err := h.See.Network(ctx)
	if err != nil {
		return fail(err)
	}
	found := false
	for _, a := range addrs {
		if a.Prefix.Addr() == ip {
			found = true
			if err := h.delete(ctx, a); err != nil {
				return fail(err)
			}
		}
	}
	if !found {
		return nil
	}
	if _, addrs, err = h.See.Network(ctx); err != nil {
		return fail(err)
	}
	for _, a := range addrs {
		if a.Prefix.Addr() == ip {
			return fail(fmt.Errorf("it is on %s again — something else adds it", a.Link))
		}
	}
	return nil
}
