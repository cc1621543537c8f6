package act

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// ears listen on every link that has a service address for other hosts that claim it.
// They belong to the goroutine of [Host.Run].
type ears struct {
	h       *Host
	open    map[int]*ear // by link
	carrier map[int]bool // of links with service addresses, as last seen
	working sync.WaitGroup
}

// ear listens on one link.
type ear struct {
	addrs  []netip.Addr // sorted
	cancel context.CancelFunc
	ended  chan struct{} // closed with its goroutines
}

func newEars(h *Host) *ears {
	return &ears{h: h, open: make(map[int]*ear), carrier: make(map[int]bool)}
}

// follow opens and closes ears as service addresses come and go, and announces what is
// on a link whose carrier has come back: its switch and its neighbours may have learned
// otherwise meanwhile. It reports whether it could look.
func (e *ears) follow(ctx context.Context) bool {
	all, err := e.h.serviceAddressesHere()
	if err != nil {
		e.h.log.WarnContext(ctx, "addresses could not be read to listen for other holders", "err", err)
		return false
	}
	links, addrs := map[int]netlink.Link{}, map[int][]netip.Addr{}
	for _, on := range all {
		if ip, ok := netip.AddrFromSlice(on.addr.IP); ok && speaksARP(on.link) {
			i := on.addr.LinkIndex
			links[i], addrs[i] = on.link, append(addrs[i], ip.Unmap())
		}
	}
	for i, o := range e.open {
		slices.SortFunc(addrs[i], netip.Addr.Compare)
		if !slices.Equal(o.addrs, addrs[i]) || o.over() {
			o.cancel()
			<-o.ended
			delete(e.open, i)
		}
	}
	for i, l := range links {
		slices.SortFunc(addrs[i], netip.Addr.Compare)
		up := l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
		if was, known := e.carrier[i]; known && !was && up {
			for _, ip := range addrs[i] {
				if err := announce(l, ip); err != nil {
					e.h.log.WarnContext(ctx, "address could not be announced", "address", ip, "link", l.Attrs().Name, "err", err)
				}
				e.h.burst(l, ip, false)
			}
		}
		e.carrier[i] = up
		if e.open[i] == nil && up {
			e.open[i] = e.listen(ctx, l, addrs[i])
		}
	}
	for i := range e.carrier {
		if links[i] == nil {
			delete(e.carrier, i)
		}
	}
	return true
}

// close ends all of them.
func (e *ears) close() {
	for _, o := range e.open {
		o.cancel()
	}
	e.working.Wait()
}

func (o *ear) over() bool {
	select {
	case <-o.ended:
		return true
	default:
		return false
	}
}

// listen begins to listen on one link. An ear that fails ends, and is opened again with
// the next look.
func (e *ears) listen(ctx context.Context, l netlink.Link, addrs []netip.Addr) *ear {
	ctx, cancel := context.WithCancel(ctx)
	o := &ear{addrs: addrs, cancel: cancel, ended: make(chan struct{})}
	own := &hardware{read: ownMACs}
	foreign := func(ip netip.Addr, mac net.HardwareAddr) {
		if is, err := own.has(mac); err == nil && !is {
			e.h.contested(l, ip, mac)
		}
	}
	var hearing sync.WaitGroup
	hear := func(f func(context.Context, netlink.Link, []netip.Addr, func(netip.Addr, net.HardwareAddr)) error) {
		hearing.Go(func() {
			defer cancel() // the other one ends with it
			if err := f(ctx, l, addrs, foreign); err != nil && ctx.Err() == nil {
				e.h.log.WarnContext(ctx, "other holders of addresses cannot be heard for now", "link", l.Attrs().Name, "err", err)
			}
		})
	}
	if slices.ContainsFunc(addrs, netip.Addr.Is4) {
		hear(hear4)
	}
	if slices.ContainsFunc(addrs, netip.Addr.Is6) {
		hear(hear6)
	}
	e.working.Go(func() { hearing.Wait(); close(o.ended) })
	return o
}

// readAgain is how often the hardware addresses of this host are read at most: a flood of
// claims must not cost a reading of all links for each.
const readAgain = 50 * time.Millisecond

// hardware is what the hardware addresses of this host were a moment ago.
type hardware struct {
	read func() ([]net.HardwareAddr, error)
	mu   sync.Mutex // guards what follows
	at   time.Time
	macs []net.HardwareAddr
	err  error
}

func (o *hardware) has(mac net.HardwareAddr) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at.IsZero() || time.Since(o.at) >= readAgain {
		o.macs, o.err = o.read()
		o.at = time.Now()
	}
	return slices.ContainsFunc(o.macs, func(m net.HardwareAddr) bool { return bytes.Equal(m, mac) }), o.err
}

// nothing is a filter for a socket that only sends.
var nothing = assembled(bpf.RetConstant{Val: 0})

func assembled(program ...bpf.Instruction) []bpf.RawInstruction {
	raw, err := bpf.Assemble(program)
	if err != nil {
		panic(err) // a program is written here, not read
	}
	return raw
}

// sentBy passes ARP whose sender has one of some addresses. All others cost nothing.
func sentBy(addrs []netip.Addr) []bpf.RawInstruction {
	const sender, most = 14 + 14, 200 // a jump reaches 255 instructions
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: sender, Size: 4}}
	var four []uint32
	for _, ip := range addrs {
		if ip.Is4() {
			four = append(four, binary.BigEndian.Uint32(ip.AsSlice()))
		}
	}
	if len(four) > most {
		return assembled(bpf.RetConstant{Val: arpFrameLen})
	}
	for i, v := range four {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: v, SkipTrue: uint8(len(four) - i)})
	}
	return assembled(append(program, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: arpFrameLen})...)
}

// hear4 calls foreign for every ARP packet on a link whose sender has one of the
// addresses, until ctx ends.
func hear4(ctx context.Context, l netlink.Link, addrs []netip.Addr, foreign func(netip.Addr, net.HardwareAddr)) error {
	a := l.Attrs()
	conn, err := packet.Listen(&net.Interface{Index: a.Index, Name: a.Name, MTU: a.MTU, HardwareAddr: a.HardwareAddr}, packet.Raw, unix.ETH_P_ARP, &packet.Config{Filter: sentBy(addrs)})
	if err != nil {
		return fmt.Errorf("cannot listen for ARP on %s: %w", a.Name, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 1518)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		if p, ok := parseARP(buf[:n]); ok && slices.Contains(addrs, p.senderIP) {
			foreign(p.senderIP, p.senderMAC)
		}
	}
}

// hear6 calls foreign for every neighbour advertisement that comes over a link and names
// one of the addresses with a hardware address, until ctx ends. What has passed a router
// is none: the kernel would not believe it either (RFC 4861, 7.1.2).
func hear6(ctx context.Context, l netlink.Link, addrs []netip.Addr, foreign func(netip.Addr, net.HardwareAddr)) error {
	conn, err := icmp.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return fmt.Errorf("cannot listen for neighbour advertisements: %w", err)
	}
	defer conn.Close()
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeNeighborAdvertisement)
	p := conn.IPv6PacketConn()
	for _, err := range []error{p.SetICMPFilter(&only), p.SetControlMessage(ipv6.FlagInterface|ipv6.FlagHopLimit, true)} {
		if err != nil {
			return fmt.Errorf("cannot listen for neighbour advertisements: %w", err)
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 1500)
	for {
		n, cm, _, err := p.ReadFrom(buf)
		if err != nil {
			return err
		}
		if cm == nil || cm.IfIndex != l.Attrs().Index || cm.HopLimit != neighbourHops {
			continue
		}
		if ip, mac, ok := parseAdvertisement(buf[:n]); ok && slices.Contains(addrs, ip) {
			foreign(ip, mac)
		}
	}
}

// parseAdvertisement takes a neighbour advertisement apart (RFC 4861, 4.4): whose
// address, and at which hardware address. ok is false if it does not say both.
func parseAdvertisement(b []byte) (ip netip.Addr, mac net.HardwareAddr, ok bool) {
	if len(b) < 24 || b[0] != 136 || b[1] != 0 {
		return netip.Addr{}, nil, false
	}
	ip = netip.AddrFrom16([16]byte(b[8:24]))
	for b = b[24:]; len(b) >= 8; {
		kind, size := b[0], 8*int(b[1])
		if size == 0 || size > len(b) {
			break
		}
		if kind == 2 && size == 8 { // target link-layer address, of Ethernet
			return ip, net.HardwareAddr(bytes.Clone(b[2:8])), true
		}
		b = b[size:]
	}
	return netip.Addr{}, nil, false
}

// changes tells out of changes of links and addresses, until ctx ends. What is missed is
// made up for by the next look.
func changes(ctx context.Context, out chan<- struct{}) {
	for first := true; first || pause(ctx, time.Second); first = false {
		sub, cancel := context.WithCancel(ctx)
		links, addrs := make(chan netlink.LinkUpdate), make(chan netlink.AddrUpdate)
		var telling sync.WaitGroup
		tell := func() {
			select {
			case out <- struct{}{}:
			default:
			}
		}
		// A subscription ends its channel when it ends, by itself or with sub.
		if netlink.LinkSubscribe(links, sub.Done()) == nil {
			telling.Go(func() {
				defer cancel()
				for range links {
					tell()
				}
			})
		}
		if netlink.AddrSubscribe(addrs, sub.Done()) == nil {
			telling.Go(func() {
				defer cancel()
				for range addrs {
					tell()
				}
			})
		}
		tell() // what has changed before
		telling.Wait()
		cancel()
	}
}
