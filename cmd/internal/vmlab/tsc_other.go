//go:build linux && !amd64

package vmlab

// clockParameter is none: on another processor the emulated counter is not this
// machine's.
func clockParameter() []string { return nil }
