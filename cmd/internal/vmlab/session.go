//go:build linux

package vmlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"understudy/cmd/internal/vmlab/wire"
)

// drop ends the session with the agent.
func (n *node) drop(why string) {
	n.agentMu.Lock()
	defer n.agentMu.Unlock()
	if n.session == "" {
		return
	}
	n.session = ""
	close(n.lost)
	clear(n.streams)
	n.lab.event(n.name, "agent-lost", why)
}

// serveAgent hears the agent of a guest.
func (n *node) serveAgent(c net.Conn) {
	w := wire.NewWriter(c)
	for r := wire.NewReader(c); ; {
		f, err := r.Next()
		if err != nil {
			return
		}
		switch f.Type {
		case wire.Hello:
			var g wire.Greeting
			if f.JSON(&g) == nil {
				n.greeted(g, w)
			}
		case wire.Out, wire.Err, wire.Exit:
			n.agentMu.Lock()
			frames, lost := n.streams[f.Stream], n.lost
			n.agentMu.Unlock()
			if frames == nil {
				continue
			}
			select {
			case frames <- f:
			case <-lost:
			case <-time.After(30 * time.Second): // whoever waited for it does not read
			}
		case wire.Ask:
			var q wire.Request
			if f.JSON(&q) != nil || len(q.Args) == 0 {
				continue
			}
			n.lab.serving.Go(func() {
				if r, answer := n.lab.controller(q.Node, q.Args[0], n.name); answer {
					_ = w.SendJSON(wire.Answer, f.Stream, r)
				}
			})
		}
	}
}

func (n *node) greeted(g wire.Greeting, w *wire.Writer) {
	n.agentMu.Lock()
	known := g.Session == n.session
	n.agentMu.Unlock()
	if !known {
		n.drop("another agent")
		n.mu.Lock()
		after := time.Since(n.since)
		n.mu.Unlock()
		n.agentMu.Lock()
		n.session, n.bootID, n.agent, n.lost = g.Session, g.BootID, w, make(chan struct{})
		n.agentMu.Unlock()
		n.lab.event(n.name, "ready", fmt.Sprintf("%s, boot %.8s, %.1f s after power-on", g.Kernel, g.BootID, after.Seconds()))
	}
	n.lab.serving.Go(func() { // a guest that is paused does not read
		_ = w.Break()
		_ = w.Send(wire.Welcome, 0, []byte(g.Session))
	})
}

// errLost says that the guest went off, was reset or lost its agent.
var errLost = errors.New("the guest was lost")

// do sends a request to a guest's agent and waits for its result. in is sent with
// it, if not nil.
func (n *node) do(ctx context.Context, q wire.Request, in io.Reader, out, errs io.Writer) (wire.Result, error) {
	n.agentMu.Lock()
	if n.session == "" {
		n.agentMu.Unlock()
		return wire.Result{}, errLost
	}
	n.next++
	id, w, lost := n.next, n.agent, n.lost
	frames := make(chan wire.Frame, 256)
	n.streams[id] = frames
	q.Session = n.session
	n.agentMu.Unlock()
	defer func() {
		n.agentMu.Lock()
		delete(n.streams, id)
		n.agentMu.Unlock()
	}()
	n.lab.serving.Go(func() { // may block while the guest is paused; ends with the lab
		_ = w.SendJSON(wire.Open, id, q)
		if in != nil {
			_, _ = io.Copy(w.Stream(wire.In, id), in)
			_ = w.Send(wire.InEnd, id, nil)
		}
	})
	for {
		select {
		case f := <-frames:
			switch f.Type {
			case wire.Out:
				_, _ = out.Write(f.Data)
			case wire.Err:
				_, _ = errs.Write(f.Data)
			case wire.Exit:
				var r wire.Result
				err := f.JSON(&r)
				if err == nil && r.Err != "" {
					err = errors.New(r.Err)
				}
				return r, err
			}
		case <-lost:
			return wire.Result{}, errLost
		case <-ctx.Done():
			n.lab.serving.Go(func() { _ = w.Send(wire.Cancel, id, nil) })
			return wire.Result{}, context.Cause(ctx)
		}
	}
}

// Exec runs a line of shell in a guest. It returns what it printed on both outputs
// and its exit status; the error is about the guest.
func (l *Lab) Exec(ctx context.Context, name, line string) (output string, code int, err error) {
	n, err := l.node(name)
	if err != nil {
		return "", 0, err
	}
	var b strings.Builder
	r, err := n.do(ctx, wire.Request{Op: "exec", Args: []string{line}}, nil, &b, &b)
	if err != nil {
		err = fmt.Errorf("cannot run %q on %s: %w", line, name, err)
	}
	return b.String(), r.Code, err
}

// Start runs a line of shell in a guest that goes on by itself, and returns the file
// of the guest that has its output.
func (l *Lab) Start(ctx context.Context, name, line string) (log string, err error) {
	n, err := l.node(name)
	if err != nil {
		return "", err
	}
	r, err := n.do(ctx, wire.Request{Op: "exec", Args: []string{line}, Detached: true}, nil, io.Discard, io.Discard)
	if err != nil {
		return "", fmt.Errorf("cannot start %q on %s: %w", line, name, err)
	}
	return r.Out, nil
}

// Put writes a file in a guest, whole or not at all.
func (l *Lab) Put(ctx context.Context, name, path string, mode os.FileMode, text string) error {
	n, err := l.node(name)
	if err != nil {
		return err
	}
	if _, err := n.do(ctx, wire.Request{Op: "put", Args: []string{path}, Mode: uint32(mode)}, strings.NewReader(text), io.Discard, io.Discard); err != nil {
		return fmt.Errorf("cannot write %s on %s: %w", path, name, err)
	}
	return nil
}

// Get reads a file of a guest.
func (l *Lab) Get(ctx context.Context, name, path string) (string, error) {
	n, err := l.node(name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if _, err := n.do(ctx, wire.Request{Op: "get", Args: []string{path}}, nil, &b, io.Discard); err != nil {
		return "", fmt.Errorf("cannot read %s on %s: %w", path, name, err)
	}
	return b.String(), nil
}
