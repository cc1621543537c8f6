//go:build race

package lease_test

// checks is how many histories the safety test tries. The race detector is slow,
// and that of Go 1.26 has crashed after some hundred bubbles of virtual time.
const checks = "60"
