//go:build !aix

package etcd

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"understudy/config"
	"understudy/reconcile/lease"
)

var key = bytes.Repeat([]byte("k"), keyLength)

// loopbacks gives each cluster of this process addresses of its own in
// 127.0.0.0/8, so that all members can use the ports of one file.
var loopbacks atomic.Uint32

// declare makes the configuration of two nodes and a witness, or of one node.
func declare(t testing.TB, members int) *config.Config {
	n := loopbacks.Add(1)
	at := func(host int) []config.NodeAddress {
		p := netip.MustParsePrefix(fmt.Sprintf("127.%d.%d.%d/32", 64+os.Getpid()%64, n, host))
		return []config.NodeAddress{{Network: "public", Prefix: p}}
	}
	c := &config.Config{
		Cluster: fmt.Sprintf("test%d", n),
		Nodes:   []config.Node{{Name: "alpha", Addresses: at(11)}},
		Lease: config.Lease{
			Store: config.StoreEmbedded, TTL: 5 * time.Second, Renew: time.Second, Margin: time.Second,
			Tick: 100 * time.Millisecond, Election: time.Second, PeerPort: freePort(t),
		},
	}
	if members == 3 {
		c.Nodes = append(c.Nodes, config.Node{Name: "beta", Addresses: at(12)})
		c.Witness = &config.Witness{Name: "witness", Addresses: at(13)}
	}
	return c
}

func freePort(t testing.TB) uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// quiet drops etcd's warnings about peers that the test has taken away.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// cluster is the members of one configuration in this process.
type cluster struct {
	testing.TB
	cfg     *config.Config
	dirs    map[string]string
	members map[string]*Member
}

func newCluster(t testing.TB, c *config.Config) *cluster {
	k := &cluster{TB: t, cfg: c, dirs: map[string]string{}, members: map[string]*Member{}}
	for _, m := range machines(c) {
		k.dirs[m.name] = t.TempDir()
	}
	t.Cleanup(func() {
		for name := range k.members {
			k.stop(name)
		}
	})
	return k
}

// run starts every member and waits until all serve.
func run(t testing.TB, members int) *cluster {
	k := newCluster(t, declare(t, members))
	for name := range k.dirs {
		k.start(name)
	}
	k.ready()
	return k
}

func (k *cluster) start(name string) *Member {
	k.Helper()
	m, err := StartMember(context.Background(), MemberOptions{Config: k.cfg, Name: name, DataDir: k.dirs[name], Keys: [][]byte{key}, Log: quiet()})
	if err != nil {
		k.Fatal(err)
	}
	k.members[name] = m
	return m
}

func (k *cluster) stop(name string) {
	if m := k.members[name]; m != nil {
		delete(k.members, name)
		if err := m.Close(); err != nil {
			k.Error(err)
		}
	}
}

func (k *cluster) ready() {
	k.Helper()
	for name, m := range k.members {
		select {
		case <-m.Ready():
		case <-time.After(time.Minute):
			k.Fatalf("%s does not get ready", name)
		}
	}
}

func (k *cluster) store(name string) lease.Store {
	k.Helper()
	s, err := k.members[name].Store()
	if err != nil {
		k.Fatal(err)
	}
	return s
}

// leader waits until all members know the same leader.
func (k *cluster) leader() string {
	k.Helper()
	var seen string
	k.eventually("a leader", func() bool {
		seen = ""
		for _, m := range k.members {
			l := m.Leader()
			if l == "" || seen != "" && l != seen {
				return false
			}
			seen = l
		}
		return true
	})
	return seen
}

// eventually looks every 10 ms, for a minute.
func (k *cluster) eventually(what string, f func() bool) {
	k.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !f(); <-tick.C {
		if time.Now().After(end) {
			k.Fatalf("never: %s", what)
		}
	}
}

// lead makes a member the leader.
func (k *cluster) lead(name string) {
	k.Helper()
	for range 5 {
		l := k.leader()
		if l == name {
			return
		}
		_ = k.members[l].MoveLeader(k.Context(), func(m string) bool { return m != name })
	}
	k.Fatalf("%s will not lead", name)
}

// crash silences a member as a power cut would: nothing is handed over, nothing
// more arrives or leaves. stop removes what is left of it.
func (k *cluster) crash(name string) {
	server := k.members[name].etcd.Server
	for _, m := range server.Cluster().Members() {
		if m.ID != server.MemberID() {
			server.CutPeer(m.ID)
		}
	}
	server.PauseSending()
}
