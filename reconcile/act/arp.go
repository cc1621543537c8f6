package act

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
)

// Operations of ARP (RFC 826).
const (
	arpRequest = 1
	arpReply   = 2
)

// arpPacket is ARP for IPv4 over Ethernet.
type arpPacket struct {
	op                   uint16
	senderMAC, targetMAC net.HardwareAddr
	senderIP, targetIP   netip.Addr
}

// arpFrameLen is an Ethernet header and an ARP packet.
const arpFrameLen = 14 + 28

var ethernetBroadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// frame is the packet in a broadcast Ethernet frame.
func (p arpPacket) frame() []byte {
	b := make([]byte, 0, arpFrameLen)
	b = append(b, ethernetBroadcast...)
	b = append(b, p.senderMAC...)
	b = append(b, 0x08, 0x06) // ARP
	b = append(b, 0, 1)       // hardware: Ethernet
	b = append(b, 0x08, 0x00) // protocol: IPv4
	b = append(b, 6, 4)
	b = binary.BigEndian.AppendUint16(b, p.op)
	b = append(b, p.senderMAC...)
	b = append(b, p.senderIP.AsSlice()...)
	b = append(b, p.targetMAC...)
	return append(b, p.targetIP.AsSlice()...)
}

// parseARP takes a frame apart. ok is false if it is not ARP for IPv4 over
// Ethernet; padding after the packet is ignored.
func parseARP(b []byte) (p arpPacket, ok bool) {
	if len(b) < arpFrameLen || !bytes.Equal(b[12:20], []byte{0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4}) {
		return arpPacket{}, false
	}
	b = b[20:]
	return arpPacket{
		op:        binary.BigEndian.Uint16(b),
		senderMAC: net.HardwareAddr(bytes.Clone(b[2:8])),
		senderIP:  netip.AddrFrom4([4]byte(b[8:12])),
		targetMAC: net.HardwareAddr(bytes.Clone(b[12:18])),
		targetIP:  netip.AddrFrom4([4]byte(b[18:22])),
	}, true
}

// arpProbe asks for an address without claiming it (RFC 5227, 1.1).
func arpProbe(mac net.HardwareAddr, ip netip.Addr) arpPacket {
	return arpPacket{op: arpRequest, senderMAC: mac, senderIP: netip.IPv4Unspecified(), targetMAC: make(net.HardwareAddr, 6), targetIP: ip}
}

// announcements are gratuitous ARP in both forms: some switches and hosts take
// only the request, others only the reply.
func announcements(mac net.HardwareAddr, ip netip.Addr) []arpPacket {
	return []arpPacket{
		{op: arpRequest, senderMAC: mac, senderIP: ip, targetMAC: make(net.HardwareAddr, 6), targetIP: ip},
		{op: arpReply, senderMAC: mac, senderIP: ip, targetMAC: ethernetBroadcast, targetIP: ip},
	}
}

// conflicts reports whether a packet shows another holder of the address, or
// another host that probes for it at this moment (RFC 5227, 2.1.1). own are the
// hardware addresses of this host, whose links may hear each other.
func (p arpPacket) conflicts(ip netip.Addr, own []net.HardwareAddr) bool {
	for _, mac := range own {
		if bytes.Equal(p.senderMAC, mac) {
			return false
		}
	}
	probe := p.op == arpRequest && p.senderIP == netip.IPv4Unspecified() && p.targetIP == ip
	return p.senderIP == ip || probe
}
