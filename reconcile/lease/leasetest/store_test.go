package leasetest_test

import (
	"testing"

	"understudy/reconcile/lease"
	"understudy/reconcile/lease/leasetest"
)

func TestConformance(t *testing.T) {
	leasetest.Conformance(t, func(*testing.T) (lease.Store, lease.Store) {
		s := leasetest.New()
		return s.Client(), s.Client()
	})
}
