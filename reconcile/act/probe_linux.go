package act

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// probesSent is how often an address is asked for (PROBE_NUM of RFC 5227).
const probesSent = 3

// ConflictError says that another host answers for an address, or asks for it at
// the same time.
type ConflictError struct {
	Address netip.Addr
	Link    string
	MAC     net.HardwareAddr
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s answers for %s on %s — a former holder that has not let go, or a foreign host; find it by its hardware address", e.MAC, e.Address, e.Link)
}

// closeLater closes a packet socket in the background: the kernel lets the caller
// wait for a grace period of its receivers, 10 to 30 ms, which a takeover need
// not pay. The goroutine ends with that period.
func closeLater(c *packet.Conn) { go c.Close() }

// probe asks for an IPv4 address on a link and listens for d. It returns a
// [*ConflictError] as soon as another host shows up with it.
func probe(ctx context.Context, l netlink.Link, ip netip.Addr, d time.Duration) error {
	own, err := ownMACs()
	if err != nil {
		return err
	}
	attrs := l.Attrs()
	conn, err := packet.Listen(&net.Interface{Index: attrs.Index, Name: attrs.Name, MTU: attrs.MTU, HardwareAddr: attrs.HardwareAddr}, packet.Raw, unix.ETH_P_ARP, nil)
	if err != nil {
		return fmt.Errorf("cannot listen for ARP on %s: %w", attrs.Name, err)
	}
	defer closeLater(conn)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	frame := arpProbe(attrs.HardwareAddr, ip).frame()
	began := time.Now()
	buf := make([]byte, 1518)
	for i := range probesSent {
		if _, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: ethernetBroadcast}); err != nil {
			return fmt.Errorf("cannot send an ARP probe on %s: %w", attrs.Name, err)
		}
		if err := conn.SetReadDeadline(began.Add(d * time.Duration(i+1) / probesSent)); err != nil {
			return err
		}
		for {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			n, _, err := conn.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return fmt.Errorf("cannot listen for ARP on %s: %w", attrs.Name, err)
			}
			if p, ok := parseARP(buf[:n]); ok && p.conflicts(ip, own) {
				return &ConflictError{ip, attrs.Name, p.senderMAC}
			}
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
