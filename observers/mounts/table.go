//go:build !aix

package mounts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"understudy/observers/trigger"
	"understudy/reconcile"
)

// path is the mount table of this process's mount namespace.
const path = "/proc/self/mountinfo"

// attempts is how often the table is read at most to see it twice the same.
const attempts = 16

// Table reads the mount table and remembers its text, so that a table that has
// not changed is not parsed again. The zero value is ready. It is not safe for
// concurrent use.
type Table struct {
	last   []byte // text that parsed is made of
	parsed []reconcile.Mount
	a, b   []byte // buffers
}

// Read returns the whole mount table. The kernel hands it out in pieces of a
// page and may skip an entry while another is unmounted, so it is read until two
// readings in a row are equal; a table that never rests is an error. The slice
// must not be modified.
func (t *Table) Read(ctx context.Context) ([]reconcile.Mount, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the mount table: %w", err)
	}
	defer f.Close()
	for n := range attempts {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("cannot read the mount table: %w", err)
		}
		t.a, t.b = t.b, t.a
		if t.a, err = readAll(f, t.a[:0]); err != nil {
			return nil, fmt.Errorf("cannot read the mount table: %w", err)
		}
		if n > 0 && bytes.Equal(t.a, t.b) {
			return t.parse()
		}
	}
	return nil, fmt.Errorf("cannot read the mount table: it changed during each of %d readings", attempts)
}

func (t *Table) parse() ([]reconcile.Mount, error) {
	if len(t.a) == 0 {
		// A process always has a root; an empty table is a failed reading.
		return nil, errors.New("cannot read the mount table: it is empty")
	}
	if bytes.Equal(t.a, t.last) {
		return t.parsed, nil
	}
	table, err := Parse(t.a)
	if err != nil {
		return nil, err
	}
	t.last, t.parsed = append(t.last[:0], t.a...), table
	return table, nil
}

// readAll reads f from its start into buf.
func readAll(f *os.File, buf []byte) ([]byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return buf, err
	}
	for {
		if cap(buf)-len(buf) < 4096 {
			buf = append(buf, make([]byte, max(8192, cap(buf)))...)[:len(buf)]
		}
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// Watch calls fire when it has begun to watch and after every change of the mount
// table (mounts, unmounts and remounts), until ctx ends.
func Watch(ctx context.Context, fire func()) error { return trigger.File(ctx, path, fire) }
