//go:build !aix

package etcd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"understudy/reconcile"
	"understudy/reconcile/lease"
	"understudy/reconcile/lease/leasetest"
)

// TestMain lets every test wait at once: they hardly compute. Or it is one of the
// machines of a test, or a server.
func TestMain(m *testing.M) {
	if name := os.Getenv(markMachine); name != "" {
		if err := machineProcess(name); err != nil {
			fmt.Fprintln(os.Stderr, name, err)
			os.Exit(1)
		}
		return
	}
	if order := os.Getenv(markServer); order != "" {
		if err := serve(order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	m.Run()
}

// apart gives every test of a suite an empty store in one cluster.
func apart(k *cluster, a, b string) func(*testing.T) (lease.Store, lease.Store) {
	return func(t *testing.T) (lease.Store, lease.Store) {
		one, two := k.store(a).(*store), k.store(b).(*store)
		name := strings.ReplaceAll(t.Name(), "/", "-")
		one.prefix, two.prefix = "/understudy/"+name+"/", "/understudy/"+name+"/"
		return one, two
	}
}

func TestConformanceOneMember(t *testing.T) {
	t.Parallel()
	k := run(t, 1)
	leasetest.Conformance(t, apart(k, "alpha", "alpha"))
}

func TestConformanceThreeMembers(t *testing.T) {
	t.Parallel()
	k := run(t, 3)
	k.lead("witness")
	leasetest.Conformance(t, apart(k, "alpha", "beta"))
}

// With two of three the store works, with one every call ends by its deadline
// and the keeper's lease with it; when a member returns, both recover. Members
// start in any order, and restart on what they have.
func TestQuorum(t *testing.T) {
	t.Parallel()
	c3 := declare(t, 3)
	c3.Lease.TTL, c3.Lease.Renew, c3.Lease.Margin = 3*time.Second, 500*time.Millisecond, 500*time.Millisecond
	k := newCluster(t, c3)
	k.start("witness")
	k.start("alpha")
	k.ready()
	s := k.store("alpha")
	h := lease.NewKeeper(s, k.cfg.Lease, "alpha", "a1", quiet())
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ran })
	valid := func() bool { return h.Lease().Left(time.Now()) > 0 }
	k.eventually("a lease with two of three", valid)
	c, err := h.Take(t.Context(), reconcile.TakeClaim{Group: "g", Epoch: 1, Evidence: reconcile.Evidence{Kind: reconcile.EvidenceFirst}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Grant(t.Context(), "gamma", "c1", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	k.stop("witness")
	lost := time.Now()
	for name, call := range map[string]func(context.Context) error{
		"View":   func(ctx context.Context) error { _, err := s.View(ctx); return err },
		"Renew":  func(ctx context.Context) error { return s.Renew(ctx, id) },
		"Grant":  func(ctx context.Context) error { _, err := s.Grant(ctx, "beta", "b1", 5*time.Second); return err },
		"Take":   func(ctx context.Context) error { _, err := s.Take(ctx, 1, c, c.Revision); return err },
		"Revoke": func(ctx context.Context) error { return s.Revoke(ctx, "alpha", "a1") },
		"PutFence": func(ctx context.Context) error {
			return s.PutFence(ctx, reconcile.FenceRecord{Node: "alpha", BootID: "a1"})
		},
		"Watch": func(ctx context.Context) error { _ = s.Watch(ctx, func() {}); return ctx.Err() },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		began := time.Now()
		err := call(ctx)
		cancel()
		if took := time.Since(began); err == nil || took > time.Minute {
			t.Errorf("%s without a majority: %v after %s", name, err, took)
		}
	}
	k.eventually("the lease ends without a majority", func() bool { return !valid() })
	if d := time.Since(lost); d > k.cfg.Lease.TTL {
		t.Errorf("its lease lived for %s after the majority was lost", d)
	}
	k.start("beta") // for the first time; alpha restarts nothing
	k.eventually("the lease comes back", valid)
	k.stop("alpha")
	k.start("witness")
	k.eventually("the others go on without alpha", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		v, err := k.store("beta").View(ctx)
		return err == nil && v.Claims["g"].Holder == "alpha"
	})
	k.start("alpha")
	k.ready()
}

func TestOtherKeysAreRefused(t *testing.T) {
	t.Parallel()
	k := newCluster(t, declare(t, 3))
	k.start("alpha")
	stranger, err := StartMember(t.Context(), MemberOptions{
		Config: k.cfg, Name: "beta", DataDir: k.dirs["beta"], Keys: [][]byte{[]byte(strings.Repeat("x", keyLength))}, Log: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	k.members["beta"] = stranger
	k.eventually("the stranger is refused for its certificate", func() bool {
		for _, h := range k.members["alpha"].Members(t.Context()) {
			if h.Name == "beta" && h.Reachable {
				t.Fatal("a stranger counts as a member")
			}
			if h.Name == "beta" && strings.Contains(h.Why, "certificate") {
				return true
			}
		}
		return false
	})
	select {
	case <-k.members["alpha"].Ready():
		t.Error("it made a majority with a stranger")
	case <-time.After(3 * time.Second):
	}
	k.stop("beta")
	k.start("witness")
	select {
	case <-k.members["alpha"].Ready():
	case <-time.After(time.Minute):
		t.Error("no majority with the witness")
	}
	if _, err := newAuthority([]byte("short"), "c"); err == nil {
		t.Error("a short key was accepted")
	}
}

func TestLeadershipMovesAway(t *testing.T) {
	t.Parallel()
	k := run(t, 3)
	k.lead("alpha")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.members["alpha"].KeepLeaderAway(ctx, func() bool { return true }) }()
	k.eventually("the witness leads", func() bool {
		l := k.leader()
		if l == "beta" { // the witness was late, on a loaded machine
			k.lead("alpha")
		}
		return l == "witness"
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// Without the witness the other node takes it.
	k.lead("alpha")
	k.stop("witness")
	k.eventually("beta leads", func() bool { // raft gives a transfer up after an election timeout: on a loaded machine it takes another
		if err := k.members["alpha"].MoveLeader(t.Context(), func(m string) bool { return m == "alpha" }); err != nil {
			t.Log(err)
		}
		return k.leader() == "beta"
	})
	// Nobody is left: it says so, and quickly.
	k.lead("alpha")
	began := time.Now()
	if err := k.members["alpha"].MoveLeader(t.Context(), func(m string) bool { return m != "witness" }); err == nil {
		t.Error("handed over to a member that is not there")
	}
	if d := time.Since(began); d > time.Minute {
		t.Errorf("it took %s", d)
	}
	for _, h := range k.members["alpha"].Members(t.Context()) {
		want := Health{Name: h.Name, Self: h.Name == "alpha", Leader: h.Name == k.leader(), Reachable: h.Name != "witness", Why: h.Why}
		if h != want {
			t.Errorf("%+v", h)
		}
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	c := declare(t, 1)
	if _, err := NewClient(t.Context(), c, quiet()); err == nil {
		t.Error("a client without endpoints")
	}
	c.Lease.Endpoints = []string{"http://127.0.0.1:1"} // nobody listens
	client, err := NewClient(t.Context(), c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := client.View(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("View: %v", err)
	}
	if d := time.Since(began); d > time.Minute {
		t.Errorf("it took %s", d)
	}
	done, stop := context.WithCancel(t.Context())
	stop()
	if err := client.Run(done); err != nil {
		t.Error(err)
	}
}

// What cannot be read is an error, not absent.
func TestAKeyThatCannotBeRead(t *testing.T) {
	t.Parallel()
	k := run(t, 1)
	s := k.store("alpha").(*store)
	for _, kind := range []string{claims, live, fenced, confirms, requests} {
		if _, err := s.Put(t.Context(), s.prefix+kind+"x", "{"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.View(t.Context()); err == nil || !strings.Contains(err.Error(), kind+"x") {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := s.Delete(t.Context(), s.prefix, clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
	}
}

// The leader dies with a claim on its way: the claim goes to the next leader at
// once, not when its limit has passed.
func TestALeaderDiesWithAClaimOnItsWay(t *testing.T) {
	t.Parallel()
	k := run(t, 3)
	s := k.store("beta")
	id, err := s.Grant(t.Context(), "beta", "b1", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	k.lead("alpha")
	k.crash("alpha")
	began := time.Now()
	rev, err := s.Take(t.Context(), id, reconcile.Claim{Group: "g", Holder: "beta", BootID: "b1", Epoch: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	// An election takes one to two timeouts of a second; a split vote doubles it.
	if d := time.Since(began); d > 30*time.Second {
		t.Errorf("it took %s", d)
	}
	v, err := s.View(t.Context())
	if err != nil || v.Claims["g"].Revision != rev {
		t.Errorf("%+v, %v", v, err)
	}
}
