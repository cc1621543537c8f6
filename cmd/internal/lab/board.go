//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// BoardDevice is what the watchdog of a host's board is called. It is no file:
// whoever runs on a host opens it by [OpenBoard].
const BoardDevice = "/dev/watchdog-board"

// boardOp is a request to the watchdog of a host's own board.
const boardOp = "board"

// board is the watchdog of a host's board. It is the machine's and not the host's:
// it counts while the host is frozen. As strict as a device: every open, setting and
// feeding starts the count, nobody who goes away stops it, and at zero the host's
// power is cut. Unlike one it does not switch the host on again, so that a test sees
// who waits for what.
type board struct {
	h *host

	mu      sync.Mutex // guards what follows
	timeout time.Duration
	timer   *time.Timer // nil: it does not count
	counts  int         // which count it is
	until   time.Time
}

// boardReply is what the board says of itself.
type boardReply struct {
	Timeout time.Duration `json:"timeout"`
	Left    time.Duration `json:"left"`
}

// do carries out one request of its host.
func (b *board) do(op string, timeout time.Duration) (boardReply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch op {
	case "open", "feed":
		b.countLocked()
	case "set":
		if timeout < time.Second || timeout%time.Second != 0 {
			return boardReply{}, fmt.Errorf("cannot count %s: whole seconds", timeout)
		}
		b.timeout = timeout
		b.countLocked()
	case "left":
	case "disarm":
		b.stopLocked()
	default:
		return boardReply{}, fmt.Errorf("cannot do %q to a board", op)
	}
	return boardReply{Timeout: b.timeout, Left: max(time.Until(b.until), 0)}, nil
}

func (b *board) countLocked() {
	b.stopLocked()
	if b.timeout == 0 {
		b.timeout = time.Minute // as drivers begin
	}
	count := b.counts
	b.until = time.Now().Add(b.timeout)
	b.timer = time.AfterFunc(b.timeout, func() { b.expire(count) })
}

func (b *board) stopLocked() {
	b.counts++
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}

// off is the end of the host's power: nothing counts any more.
func (b *board) off() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopLocked()
	b.timeout = 0
}

// expire cuts the host's power, unless the count was started anew.
func (b *board) expire(count int) {
	b.mu.Lock()
	late := count != b.counts
	b.mu.Unlock()
	if late {
		return
	}
	ctx, cancel := within(context.Background(), crashLimit)
	defer cancel()
	if err := b.h.crash(ctx, "the watchdog of its board"); err != nil {
		b.h.s.log.Error("board could not cut the power", "host", b.h.Name, "err", err)
	}
}

// Board is the watchdog of the board of the host on which a process runs, as that
// process has it. Every call waits for the supervisor, for some seconds at most.
type Board struct{}

// OpenBoard opens, and so starts, the watchdog of this host's board. Path must be
// [BoardDevice].
func OpenBoard(path string) (Board, error) {
	if path != BoardDevice || !onHost() {
		return Board{}, fmt.Errorf("cannot open %s: no board has it", path)
	}
	_, err := Board{}.ask("open", 0)
	return Board{}, err
}

func (Board) ask(op string, timeout time.Duration) (r boardReply, err error) {
	ctx, cancel := within(context.Background(), crashLimit)
	defer cancel()
	err = call(ctx, socketsInside+"/"+powerSocket, request{Op: boardOp, Name: op, Mode: timeout.String()}, &r)
	return r, err
}

// SetTimeout sets how long it counts, and starts the count.
func (b Board) SetTimeout(d time.Duration) error {
	_, err := b.ask("set", d)
	return err
}

// Counts says how long it counts, and how much of that is left.
func (b Board) Counts() (timeout, left time.Duration, err error) {
	r, err := b.ask("left", 0)
	return r.Timeout, r.Left, err
}

// Feed starts the count anew.
func (b Board) Feed() error {
	_, err := b.ask("feed", 0)
	return err
}

// Disarm ends the count.
func (b Board) Disarm() error {
	_, err := b.ask("disarm", 0)
	return err
}

// Unplug takes a shared disk away from a host: every reading and writing of it fails
// there from now on. It holds until [Lab.Plug] or the end of the host's power, and is
// for a disk without a mounted file system.
func (l *Lab) Unplug(ctx context.Context, host string, disk int) error {
	return l.ask(ctx, request{Op: "unplug", Host: host, Signal: disk}, nil)
}

// Plug undoes Unplug.
func (l *Lab) Plug(ctx context.Context, host string, disk int) error {
	return l.ask(ctx, request{Op: "plug", Host: host, Signal: disk}, nil)
}

// reach makes a host's way to a disk end behind its first sector, or whole again.
func (h *host) reach(disk int, whole bool) error {
	h.op.Lock()
	defer h.op.Unlock()
	if disk < 0 || disk >= len(h.loops) {
		return fmt.Errorf("cannot unplug disk %d of %s: it has %d", disk, h.Name, len(h.loops))
	}
	f, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", h.loops[disk].number), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
	if err == nil {
		if info.Sizelimit = 512; whole {
			info.Sizelimit = 0
		}
		err = unix.IoctlLoopSetStatus64(int(f.Fd()), info)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot reach disk %d of %s: %w", disk, h.Name, err)
	}
	h.s.events.add(h.Name, "disk %d plugged in: %v", disk, whole)
	return nil
}
