package etcd

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"

	"understudy/config"
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
	addresses []netip.Addr
}

// machines are the voters, in the order of the file, the witness last.
func machines(c *config.Config) []machine {
	var out []machine
	add := func(name string, addresses []config.NodeAddress) {
		m := machine{name: name}
		for _, a := range addresses {
			m.addresses = append(m.addresses, a.Prefix.Addr())
		}
		out = append(out, m)
	}
	for _, n := range c.Nodes {
		add(n.Name, n.Addresses)
	}
	if c.Witness != nil {
		add(c.Witness.Name, c.Witness.Addresses)
	}
	return out
}

// peerURLs is where a machine's peers reach it: on each of its networks.
func peerURLs(m machine, port uint16) []url.URL {
	var out []url.URL
	for _, a := range m.addresses {
		out = append(out, url.URL{Scheme: "https", Host: net.JoinHostPort(a.String(), strconv.Itoa(int(port)))})
	}
	return out
}

// listenURLs is where the member listens: on its addresses, or on every one of
// the host when one of them is not there (yet).
func (m *Member) listenURLs(urls []url.URL) []url.URL {
	for _, u := range urls {
		l, err := net.Listen("tcp", net.JoinHostPort(u.Hostname(), "0"))
		if err == nil {
			_ = l.Close()
			continue
		}
		m.o.Log.Warn("an address of this machine is missing, listening on all", "address", u.Hostname(), "err", err)
		return []url.URL{{Scheme: "https", Host: net.JoinHostPort("::", u.Port())}}
	}
	return urls
}

// configure makes etcd's configuration of this member.
func (m *Member) configure() (*embed.Config, error) {
	c := m.o.Config
	all := machines(c)
	i := slices.IndexFunc(all, func(x machine) bool { return x.name == m.o.Name })
	if i < 0 {
		return nil, fmt.Errorf("%q is neither a node of the file nor its witness", m.o.Name)
	}
	self := all[i]
	if len(self.addresses) == 0 {
		return nil, fmt.Errorf("%s has no address", self.name)
	}
	a, err := newAuthority(m.o.Key, c.Cluster)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(m.o.DataDir, 0o700); err != nil {
		return nil, err
	}
	var ips []net.IP
	for _, addr := range self.addresses {
		ips = append(ips, addr.AsSlice())
	}
	if m.tls, err = a.issue(filepath.Join(m.o.DataDir, "tls"), self.name, ips); err != nil {
		return nil, fmt.Errorf("cannot write certificates: %w", err)
	}
	smallSegments()

	e := embed.NewConfig()
	e.Name = self.name
	e.Dir = filepath.Join(m.o.DataDir, "etcd")
	e.InitialClusterToken = c.Cluster
	e.InitialCluster = initialCluster(all, c.Lease.PeerPort)
	e.ClusterState = embed.ClusterStateFlagNew // ignored when Dir holds a member already
	e.AdvertisePeerUrls = peerURLs(self, c.Lease.PeerPort)
	e.ListenPeerUrls = m.listenURLs(e.AdvertisePeerUrls)
	e.PeerTLSInfo = transport.TLSInfo{
		CertFile: m.tls.cert, KeyFile: m.tls.key, TrustedCAFile: m.tls.ca,
		ClientCertAuth: true,
		// A peer may call from any of its addresses; the authority vouches for it.
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
		for _, u := range peerURLs(x, port) {
			parts = append(parts, x.name+"="+u.String())
		}
	}
	return strings.Join(parts, ",")
}
