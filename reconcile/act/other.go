//go:build !linux && !aix

package act

import (
	"context"
	"fmt"
	"runtime"

	"understudy/config"
	"understudy/reconcile"
)

// Host carries out steps on this host. There are none on this system yet.
type Host struct{}

// New returns a Host whose every step fails.
func New(Options) *Host { return &Host{} }

// SetConfig does nothing on this system.
func (h *Host) SetConfig(*config.Config) {}

// Do fails: no step is supported on this system.
func (h *Host) Do(_ context.Context, s reconcile.Step) error {
	return notSupported("carry out step " + s.Spec().Verb)
}

// Run returns when ctx ends.
func (h *Host) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Close does nothing on this system.
func (h *Host) Close() {}

// SavedHostname fails on this system.
func (h *Host) SavedHostname() (string, error) {
	return "", notSupported("read the saved host name")
}

// Dirty fails on this system.
func (h *Host) Dirty() (map[string]string, error) {
	return nil, notSupported("read what only a reboot ends")
}

// Holders fails on this system.
func Holders(mount string) ([]Holder, error) {
	return nil, notSupported("look for the holders of " + mount)
}

// Metadata fails on this system.
func Metadata(_ context.Context, agent string) (AgentMetadata, error) {
	return AgentMetadata{}, notSupported("ask fence agent " + agent)
}

// FenceStatus fails on this system.
func FenceStatus(_ context.Context, agent config.Fence) (bool, error) {
	return false, notSupported("ask fence agent " + agent.Agent)
}

func notSupported(what string) error {
	return fmt.Errorf("cannot %s: not supported on this system (%s)", what, runtime.GOOS)
}
