package observers

import (
	"context"
	"errors"
	"sync"
	"time"

	"understudy/observers/files"
)

// again is how long after a failure a watch is begun again.
const again = time.Second

// Run watches for changes and probes until ctx ends. A watch that fails is
// reported and begun again; meanwhile the caller's periodic look has to do. It
// does not run the Peers it was given.
func (h *Host) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	watch := func(what string, run func(context.Context) error) {
		group.Go(func() { h.keep(ctx, what, run) })
	}
	for _, w := range h.systemWatches() {
		watch(w.what, w.run)
	}
	watch("process ends", h.exits.Run)
	watch("probes", h.prober.Run)
	watch("pid files", h.pidFiles)
	if h.peers != nil {
		watch("peers", h.forward)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// aWatch is one thing that is watched until its context ends.
type aWatch struct {
	what string
	run  func(ctx context.Context) error
}

// keep runs a watch until ctx ends, again after each failure.
func (h *Host) keep(ctx context.Context, what string, run func(context.Context) error) {
	said := false
	for {
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		if !said {
			h.log.WarnContext(ctx, "changes are noticed by periodic looks only", "what", what, "err", err)
			said = true
		}
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		pause := time.NewTimer(again)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

func (h *Host) forward(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.peers.Changes():
			h.changes.Fire()
		}
	}
}

// pidFiles watches the pid files of the file in force. Those on a group's own
// file systems are left to the periodic look.
func (h *Host) pidFiles(ctx context.Context) error {
	for {
		paths := h.view.Load().daemons.LocalPIDFiles()
		one, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() {
			if len(paths) == 0 {
				<-one.Done()
				done <- one.Err()
				return
			}
			done <- files.Dirs(one, paths, h.log, h.changes.Fire)
		}()
		var err error
		select {
		case <-h.configured:
			stop()
			<-done
			continue
		case <-ctx.Done():
			stop()
			return <-done
		case err = <-done:
			stop()
			return err
		}
	}
}
