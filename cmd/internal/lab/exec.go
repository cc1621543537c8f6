//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Command is one program to run on a host.
type Command struct {
	Argv   []string
	Env    []string // added to PATH, HOME, LANG and TERM
	Dir    string   // "" is /root
	Stdin  io.Reader
	Stdout io.Writer // nil discards
	Stderr io.Writer // nil discards
}

// Exec runs a program on a host and returns what it wrote and its exit status,
// 128 and the signal's number if a signal ended it. An error means that it could
// not be run, or that the host went down meanwhile.
func (l *Lab) Exec(ctx context.Context, host string, argv ...string) (stdout, stderr string, exit int, err error) {
	var out, errs bytes.Buffer
	exit, err = l.Run(ctx, host, Command{Argv: argv, Stdout: &out, Stderr: &errs})
	return out.String(), errs.String(), exit, err
}

// Run is Exec with streams. The end of ctx kills the program and its session.
func (l *Lab) Run(ctx context.Context, host string, c Command) (exit int, err error) {
	var s streams
	defer s.close()
	files := []*os.File{s.input(c.Stdin), s.output(c.Stdout), s.output(c.Stderr)}
	if s.err != nil {
		return 0, fmt.Errorf("cannot run %q on %s: %w", c.Argv, host, s.err)
	}
	var e exited
	err = call(ctx, filepath.Join(l.run, host, "lab", initSocket),
		request{Op: "exec", Argv: c.Argv, Env: c.Env, Dir: c.Dir}, &e, files...)
	s.finish()
	if err != nil {
		return 0, fmt.Errorf("host %s: %w", host, err)
	}
	if e.Signal != 0 {
		return 128 + e.Signal, nil
	}
	return e.Code, nil
}

// streams are the descriptors given to a program, with pipes and copies where
// the caller's end is not a file.
type streams struct {
	err    error
	theirs []*os.File // ends that the program gets
	ours   []*os.File // ends that are read here
	feed   []*os.File // ends that are written here
	copies sync.WaitGroup
}

func (s *streams) input(r io.Reader) *os.File {
	if f, ok := r.(*os.File); ok {
		return f
	}
	if r == nil {
		f, err := os.Open(os.DevNull)
		return s.give(f, err)
	}
	pr, pw, err := os.Pipe()
	if err == nil {
		s.feed = append(s.feed, pw)
		go func() { // a reader that blocks for ever is left behind
			io.Copy(pw, r)
			pw.Close()
		}()
	}
	return s.give(pr, err)
}

func (s *streams) output(w io.Writer) *os.File {
	if f, ok := w.(*os.File); ok {
		return f
	}
	if w == nil {
		f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		return s.give(f, err)
	}
	pr, pw, err := os.Pipe()
	if err == nil {
		s.ours = append(s.ours, pr)
		s.copies.Go(func() { io.Copy(w, pr) })
	}
	return s.give(pw, err)
}

func (s *streams) give(f *os.File, err error) *os.File {
	if err != nil {
		s.err = err
		return nil
	}
	s.theirs = append(s.theirs, f)
	return f
}

// finish waits for the rest of the output. A program that left a daemon behind
// with its pipe is not waited for.
func (s *streams) finish() {
	for _, f := range s.theirs {
		f.Close()
	}
	for _, f := range s.ours {
		f.SetReadDeadline(time.Now().Add(time.Second))
	}
	s.copies.Wait()
}

func (s *streams) close() {
	s.finish()
	for _, f := range append(s.ours, s.feed...) {
		f.Close()
	}
}
