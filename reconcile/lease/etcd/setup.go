//go:build !aix

package etcd

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"

	"understudy/config"
	"understudy/reconcile"
)

// The store holds a few kilobytes and is written a few times a day: everything
// is as small as etcd allows.
const (
	quota         = 64 << 20 // bytes of the back end; also bounds the memory map
	segment       = 4 << 20  // bytes of a WAL file, allocated in advance
	snapshotCount = 1000     // entries between two snapshots
	catchUp       = 500      // entries kept for a slow member
	keepRevisions = "1000"   // when compacting, every five minutes
)

var smallSegments = sync.OnceFunc(func() { wal.SegmentSizeBytes = segment })

// machine is a voter of the embedded store.
type machine struct {
	name      string
	addresses []config.NodeAddress
	stable    netip.Addr // on the loopback device of every machine
}

// ways are the paths from one machine to another: one for each pair of adapters on a
// network and in one subnet; from the first adapter where they share none, and from
// nowhere in particular where they share no network.
func (m machine) ways(to machine) []*path {
	var out []*path
	for _, a := range to.addresses {
		var first netip.Addr
		met := false
		for _, own := range m.addresses {
			if own.Network != a.Network {
				continue
			}
			if !first.IsValid() {
				first = own.Prefix.Addr()
			}
			if own.Prefix.Contains(a.Prefix.Addr()) || a.Prefix.Contains(own.Prefix.Addr()) {
				met = true
				out = append(out, &path{Way: reconcile.Way{Machine: to.name, Network: a.Network, Local: own.Prefix.Addr(), Remote: a.Prefix.Addr()}})
			}
		}
		if !met {
			out = append(out, &path{Way: reconcile.Way{Machine: to.name, Network: a.Network, Local: first, Remote: a.Prefix.Addr()}})
		}
	}
	return out
}

// machines are the voters, in the order of the file, the witness last.
func machines(c *config.Config) []machine {
	var out []machine
	add := func(name string, addresses []config.NodeAddress) {
		i := len(out)
		out = append(out, machine{name, addresses, netip.AddrFrom4([4]byte{127, 77, byte(i / 254), byte(i%254 + 1)})})
	}
	for _, n := range c.Nodes {
		add(n.Name, n.Addresses)
	}
	if c.Witness != nil {
		add(c.Witness.Name, c.Witness.Addresses)
	}
	return out
}

// peerURL is where every machine's etcd finds this one: at the relay beside it.
func (m machine) peerURL(port uint16) url.URL {
	return url.URL{Scheme: "https", Host: net.JoinHostPort(m.stable.String(), strconv.Itoa(int(port)))}
}

// configure makes etcd's configuration of this member.
func (m *Member) configure() (*embed.Config, error) {
	c := m.o.Config
	self := m.relay.self
	vouch, err := authorities(m.o.Keys, c.Cluster)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(m.o.DataDir, 0o700); err != nil {
		return nil, err
	}
	if m.tls, err = issue(vouch, filepath.Join(m.o.DataDir, "tls"), self.name, []net.IP{self.stable.AsSlice()}); err != nil {
		return nil, fmt.Errorf("cannot write certificates: %w", err)
	}
	smallSegments()

	e := embed.NewConfig()
	e.Name = self.name
	e.Dir = filepath.Join(m.o.DataDir, "etcd")
	e.InitialClusterToken = c.Cluster
	e.InitialCluster = initialCluster(machines(c), c.Lease.PeerPort)
	e.ClusterState = embed.ClusterStateFlagNew // ignored when Dir holds a member already
	e.AdvertisePeerUrls = []url.URL{self.peerURL(c.Lease.PeerPort)}
	e.ListenPeerUrls = []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}} // only the relay calls
	e.PeerTLSInfo = transport.TLSInfo{
		CertFile: m.tls.cert, KeyFile: m.tls.key, TrustedCAFile: m.tls.ca,
		ClientCertAuth: true,
		// A peer calls through the relay; the authority vouches for it.
		SkipClientSANVerify: true,
	}
	e.TlsMinVersion = "TLS1.3"
	// Nobody speaks to the member but this process (v3client) and its peers.
	e.ListenClientUrls, e.AdvertiseClientUrls = nil, nil
	e.TickMs = uint(c.Lease.Tick / time.Millisecond)
	e.ElectionMs = uint(c.Lease.Election / time.Millisecond)
	e.QuotaBackendBytes = quota
	e.SnapshotCount = snapshotCount
	e.SnapshotCatchUpEntries = catchUp
	e.MaxSnapFiles, e.MaxWalFiles = 2, 2
	e.AutoCompactionMode = embed.CompactorModeRevision
	e.AutoCompactionRetention = keepRevisions
	e.MaxRequestBytes = 64 << 10
	e.EnablePprof = false
	e.EnableGRPCGateway = false
	e.DowngradeCheckTime = 0
	e.CompactHashCheckTime = 24 * time.Hour
	e.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newLogger(m.o.Log, m.fail))
	return e, nil
}

func initialCluster(all []machine, port uint16) string {
	var parts []string
	for _, x := range all {
		u := x.peerURL(port)
		parts = append(parts, x.name+"="+u.String())
	}
	return strings.Join(parts, ",")
}
