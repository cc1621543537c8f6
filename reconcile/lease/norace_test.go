//go:build !race

package lease_test

// checks is how many histories the safety test tries: a millisecond or two each,
// and some holes need several hundred.
const checks = "400"
