//go:build !aix

package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/lease"
	"understudy/reconcile/lease/leasetest"
)

// markServer holds what a process of this test binary is to be: one server of
// an etcd cluster.
const markServer = "UNDERSTUDY_TEST_SERVER"

// server is one server of a cluster that is not ours.
type server struct {
	Name, Dir, Client, Peer, Cluster string // URLs, but for the first two
	TLS                              config.TLS
}

// serve runs a server until standard input ends.
func serve(order string) error {
	var s server
	if err := json.Unmarshal([]byte(order), &s); err != nil {
		return err
	}
	smallSegments()
	e := embed.NewConfig()
	e.Name, e.Dir, e.InitialCluster = s.Name, s.Dir, s.Cluster
	client, err := url.Parse(s.Client)
	if err != nil {
		return err
	}
	peer, err := url.Parse(s.Peer)
	if err != nil {
		return err
	}
	e.ListenClientUrls, e.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	e.ListenPeerUrls, e.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	if s.TLS != (config.TLS{}) {
		e.ClientTLSInfo = transport.TLSInfo{CertFile: s.TLS.Cert, KeyFile: s.TLS.Key, TrustedCAFile: s.TLS.CA, ClientCertAuth: true}
	}
	e.LogLevel = "panic"
	m, err := embed.StartEtcd(e)
	if err != nil {
		return err
	}
	<-m.Server.ReadyNotify()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil // no Close: it ends as it would by a signal
}

// foreign is a cluster of etcd servers, each a process.
type foreign struct {
	t       *testing.T
	cfg     *config.Config
	servers []server
	ends    []func() // kill
}

func newForeign(t *testing.T, servers int, tls bool) *foreign {
	t.Helper()
	f := &foreign{t: t, cfg: declare(t, 1)}
	f.cfg.Lease.Store = config.StoreEtcd
	scheme := "http"
	var certs config.TLS
	if tls {
		scheme = "https"
		a, err := authorities([][]byte{key}, f.cfg.Cluster)
		must(t, err)
		// One certificate for all of them, and for the client.
		p, err := issue(a, t.TempDir(), "etcd", []net.IP{net.IPv4(127, 0, 0, 1)})
		must(t, err)
		certs = config.TLS{CA: p.ca, Cert: p.cert, Key: p.key}
	}
	f.cfg.Lease.TLS = certs
	var cluster []string
	for i := range servers {
		s := server{
			Name: fmt.Sprint("s", i), Dir: t.TempDir(), TLS: certs,
			Client: fmt.Sprintf("%s://127.0.0.1:%d", scheme, freePort(t)),
			Peer:   fmt.Sprintf("http://127.0.0.1:%d", freePort(t)),
		}
		cluster = append(cluster, s.Name+"="+s.Peer)
		f.servers = append(f.servers, s)
		f.cfg.Lease.Endpoints = append(f.cfg.Lease.Endpoints, s.Client)
	}
	f.ends = make([]func(), servers)
	var ready []<-chan error
	for i := range f.servers {
		f.servers[i].Cluster = strings.Join(cluster, ",")
		ready = append(ready, f.start(i))
	}
	for i, r := range ready {
		err := <-r
		for range 5 { // its port may be another's for a moment
			if err != nil {
				err = <-f.start(i)
			}
		}
		must(t, err)
	}
	return f
}

// start starts a server and says when it serves.
func (f *foreign) start(i int) <-chan error {
	f.t.Helper()
	order, err := json.Marshal(f.servers[i])
	must(f.t, err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), markServer+"="+string(order))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // it ends with the test, however the test ends
	must(f.t, err)
	out, err := cmd.StdoutPipe()
	must(f.t, err)
	must(f.t, cmd.Start())
	ready := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.ReadFull(out, make([]byte, len("ready")))
		ready <- err
		_, _ = io.Copy(io.Discard, out)
	}()
	over := false
	f.ends[i] = func() {
		if !over {
			over = true
			_ = cmd.Process.Kill()
			<-done
			_ = cmd.Wait()
			_ = in.Close()
		}
	}
	f.t.Cleanup(f.ends[i])
	return ready
}

func (f *foreign) client() *Client {
	f.t.Helper()
	c, err := NewClient(f.t.Context(), f.cfg, quiet())
	must(f.t, err)
	f.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			f.t.Error(err)
		}
	})
	return c
}

func TestClientConformance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		servers int
		tls     bool
	}{{"one server, plain", 1, false}, {"one server, TLS", 1, true}, {"three servers, TLS", 3, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newForeign(t, c.servers, c.tls)
			a, b := f.client(), f.client()
			leasetest.Conformance(t, func(t *testing.T) (lease.Store, lease.Store) {
				prefix := "/understudy/" + strings.ReplaceAll(t.Name(), "/", "-") + "/"
				one, two := newStore(a.client, f.cfg.Cluster), newStore(b.client, f.cfg.Cluster)
				one.prefix, two.prefix = prefix, prefix
				return one, two
			})
		})
	}
}

// Each of three servers dies in turn, the one that the client speaks to and the
// leader among them. The lease lives on, and claims go on as soon as the others
// have a leader.
func TestClientLosesAServer(t *testing.T) {
	t.Parallel()
	f := newForeign(t, 3, true)
	f.cfg.Lease.TTL = 15 * time.Second // bears an election on a loaded machine
	c := f.client()
	h := lease.NewKeeper(c, f.cfg.Lease, "alpha", "a1", quiet())
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ran })
	k := &cluster{TB: t}
	k.eventually("a lease", func() bool { return h.Lease().Left(time.Now()) > 0 })
	id, err := c.Grant(t.Context(), "beta", "b1", time.Hour)
	must(t, err)
	claim := reconcile.Claim{Group: "g", Holder: "beta", BootID: "b1"}
	var rev int64
	for i := range f.servers {
		f.ends[i]()
		began := time.Now()
		k.eventually("a claim is taken", func() bool {
			call, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			claim.Epoch++
			next, err := c.Take(call, id, claim, rev)
			if err == nil {
				rev = next
				return true
			}
			if v, err := c.View(call); err == nil {
				rev = v.Claims["g"].Revision
			}
			return false
		})
		t.Logf("after the death of server %d: %s", i, time.Since(began).Round(time.Millisecond))
		if h.Lease().Left(time.Now()) <= 0 {
			t.Errorf("the lease ended with server %d", i)
		}
		must(t, <-f.start(i))
	}
}

// A client without the cluster's certificates gets nowhere, and says so in time.
func TestClientWithoutCertificates(t *testing.T) {
	t.Parallel()
	f := newForeign(t, 1, true)
	f.cfg.Lease.TLS.Cert, f.cfg.Lease.TLS.Key = "", ""
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := f.client().View(ctx); err == nil || time.Since(began) > time.Minute {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	f.cfg.Lease.TLS.CA = "/nowhere/ca.pem"
	if _, err := NewClient(t.Context(), f.cfg, quiet()); err == nil || !strings.Contains(err.Error(), "/nowhere/ca.pem") {
		t.Errorf("%v", err)
	}
}
