package leasetest_test

import (
	"flag"
	"testing"

	"understudy/reconcile/lease"
	"understudy/reconcile/lease/leasetest"
)

// TestMain lets every test wait at once: they hardly compute.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	m.Run()
}

func TestConformance(t *testing.T) {
	leasetest.Conformance(t, func(*testing.T) (lease.Store, lease.Store) {
		s := leasetest.New()
		return s.Client(), s.Client()
	})
}
