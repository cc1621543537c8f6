//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// One request and one reply, each a line of JSON, per connection to a unix
// socket. All of a lab's processes speak it.
type request struct {
	Op       string   `json:"op"`
	Host     string   `json:"host,omitempty"`
	Networks []string `json:"networks,omitempty"`
	Mode     string   `json:"mode,omitempty"`
	Argv     []string `json:"argv,omitempty"`
	Env      []string `json:"env,omitempty"`
	Dir      string   `json:"dir,omitempty"`
	Name     string   `json:"name,omitempty"`
	Signal   int      `json:"signal,omitempty"`
	Filters  []Filter `json:"filters,omitempty"`
	Since    int64    `json:"since,omitempty"` // CLOCK_MONOTONIC, nanoseconds
}

type reply struct {
	Err  string          `json:"err,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
}

// errLost says that the other side went away without an answer: a host that
// crashed, a supervisor that was killed.
var errLost = errors.New("the other side is gone")

// call sends a request and decodes the reply's data into into, unless it is nil.
// The files, if any, travel with the request (unix(7), SCM_RIGHTS).
func call(ctx context.Context, socket string, req request, into any, files ...*os.File) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("cannot reach %s: %w", socket, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	b, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("cannot encode request %q: %w", req.Op, err)
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := c.(*net.UnixConn).WriteMsgUnix(append(b, '\n'), rights, nil); err != nil {
		return lost(ctx, req.Op, err)
	}
	var r reply
	if err := json.NewDecoder(c).Decode(&r); err != nil {
		return lost(ctx, req.Op, err)
	}
	if r.Err != "" {
		return errors.New(r.Err)
	}
	if into != nil {
		if err := json.Unmarshal(r.Data, into); err != nil {
			return fmt.Errorf("cannot read the reply to %q: %w", req.Op, err)
		}
	}
	return nil
}

func lost(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("cannot finish %q: %w", op, context.Cause(ctx))
	}
	return fmt.Errorf("cannot finish %q: %w (%v)", op, errLost, err)
}

// serve answers requests until the listener is closed. Each handler's context
// ends when its caller hangs up.
func serve(l *net.UnixListener, handle func(ctx context.Context, req request, files []*os.File) (any, error)) error {
	for {
		c, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			req, files, err := receive(c)
			defer func() {
				for _, f := range files {
					f.Close()
				}
			}()
			if err != nil {
				return // a caller that says nothing gets nothing
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() { // the caller sends nothing more: a read ends when it hangs up
				var one [1]byte
				c.Read(one[:])
				cancel()
			}()
			var r reply
			data, err := handle(ctx, req, files)
			if errors.Is(err, errSilent) {
				return
			}
			if err != nil {
				r.Err = err.Error()
			} else if data != nil {
				if r.Data, err = json.Marshal(data); err != nil {
					r.Err = err.Error()
				}
			}
			json.NewEncoder(c).Encode(r)
		}()
	}
}

// errSilent makes serve hang up without an answer.
var errSilent = errors.New("no answer")

// maxRequest bounds a request's bytes.
const maxRequest = 1 << 20

func receive(c *net.UnixConn) (request, []*os.File, error) {
	var req request
	var files []*os.File
	var all []byte
	buf, oob := make([]byte, 64<<10), make([]byte, 256)
	for {
		n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
		if oobn > 0 {
			if msgs, e := unix.ParseSocketControlMessage(oob[:oobn]); e == nil {
				for _, m := range msgs {
					fds, _ := unix.ParseUnixRights(&m)
					for _, fd := range fds {
						unix.CloseOnExec(fd)
						files = append(files, os.NewFile(uintptr(fd), "received"))
					}
				}
			}
		}
		all = append(all, buf[:n]...)
		if err != nil || n == 0 {
			return req, files, errors.Join(errLost, err)
		}
		if all[len(all)-1] == '\n' {
			return req, files, json.Unmarshal(all, &req)
		}
		if len(all) > maxRequest {
			return req, files, errors.New("cannot read a request: too long")
		}
	}
}

// listen makes a unix socket, replacing one that a dead process left.
func listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// monotonic is CLOCK_MONOTONIC in nanoseconds: the same in all of a lab's hosts,
// which share a kernel.
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0 // it cannot fail for this clock (clock_gettime(2))
	}
	return ts.Nano()
}
