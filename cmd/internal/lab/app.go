//go:build linux

package lab

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// appMain is the application of a lab: a server that appends the line of every
// connection to a file, forces it to the disk, and only then answers.
func appMain(args []string, errw io.Writer) int {
	flags := flag.NewFlagSet("lab-app", flag.ContinueOnError)
	flags.SetOutput(errw)
	address := flags.String("listen", "", "address and port to listen on")
	path := flags.String("file", "", "file that the lines are appended to")
	startDelay := flags.Duration("start-delay", 0, "wait before listening")
	stopDelay := flags.Duration("stop-delay", 0, "wait between SIGTERM and the end")
	ignore := flags.Bool("ignore-term", false, "do not end on SIGTERM")
	if flags.Parse(args) != nil || *address == "" || *path == "" {
		return 2
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM, unix.SIGINT)
	fail := func(err error) int {
		fmt.Fprintf(errw, "lab-app: %v\n", err)
		return 1
	}
	select {
	case <-time.After(*startDelay):
	case <-term:
		if !*ignore {
			return 0
		}
	}
	a, err := openAnswers(*path)
	if err != nil {
		return fail(err)
	}
	broken, err := answering(*address, a.answer)
	if err != nil {
		return fail(err)
	}
	for {
		select {
		case err := <-broken:
			return fail(err)
		case <-term:
			if *ignore {
				continue
			}
			time.Sleep(*stopDelay)
			a.disk.Lock() // what is being written is finished; nothing else begins
			return 0
		}
	}
}

// answering serves every connection that comes to an address, each by itself, until the
// process ends. What ends it before that comes on the channel.
func answering(address string, serve func(net.Conn) error) (<-chan error, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	broken := make(chan error, 1)
	failed := func(err error) {
		select {
		case broken <- err:
		default: // the first is enough
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				failed(err)
				return
			}
			go func() {
				if err := serve(c); err != nil {
					failed(err)
				}
			}()
		}
	}()
	return broken, nil
}

// answers appends lines to a file. Lines that come while others are forced to the disk
// are forced together: a client asks every 5 ms whatever the disk needs, and one by one
// a machine under load would fall behind and never catch up again.
type answers struct {
	mu   sync.Mutex // guards next; never held across a wait
	next *batch     // lines to be written

	disk sync.Mutex // held while a batch is written; guards f, and what batches are done
	f    *os.File
}

// batch is lines that are forced to the disk together.
type batch struct {
	lines []byte
	done  bool
	err   error
}

func openAnswers(path string) (*answers, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	// A line that a crash cut short was never answered: end it.
	if size, err := f.Seek(0, io.SeekEnd); err == nil && size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			if _, err := f.Write([]byte("\n")); err != nil {
				return nil, err
			}
		}
	}
	return &answers{f: f, next: &batch{}}, nil
}

// answer serves one connection. Its error is one of the disk; what is wrong with
// a client concerns nobody.
func (a *answers) answer(c net.Conn) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	line, err := bufio.NewReader(io.LimitReader(c, 64)).ReadString('\n')
	if err != nil {
		return nil
	}
	if err := a.write(line); err != nil {
		return err
	}
	io.WriteString(c, line)
	return nil
}

// write returns when the line is on the disk.
func (a *answers) write(line string) error {
	a.mu.Lock()
	b := a.next
	b.lines = append(b.lines, line...)
	a.mu.Unlock()
	a.disk.Lock()
	defer a.disk.Unlock()
	if b.done { // by another, for both
		return b.err
	}
	a.mu.Lock()
	a.next = &batch{}
	a.mu.Unlock()
	b.done = true
	if _, b.err = a.f.Write(b.lines); b.err == nil {
		b.err = a.f.Sync()
	}
	return b.err
}
