//go:build linux

package lab

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// logMain is the application of a chaos run: a log that lines are appended to. A
// line is forced to the disk, and only then answered with the place of its first
// byte in the file. Connections last as long as the client likes.
func logMain(args []string, errw io.Writer) int {
	flags := flag.NewFlagSet("lab-log", flag.ContinueOnError)
	flags.SetOutput(errw)
	name := flags.String("name", "", "name of the application: it is on one host at a time")
	address := flags.String("listen", "", "address and port to listen on")
	path := flags.String("file", "", "file that the lines are appended to")
	if flags.Parse(args) != nil || *name == "" || *address == "" || *path == "" {
		return 2
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM, unix.SIGINT)
	fail := func(err error) int {
		fmt.Fprintf(errw, "lab-log: %v\n", err)
		return 1
	}
	if err := appear(*name); err != nil {
		return fail(err)
	}
	a, err := openLog(*path)
	if err != nil {
		return fail(err)
	}
	broken, err := answering(*address, a.serve)
	if err != nil {
		return fail(err)
	}
	select {
	case err := <-broken:
		return fail(err)
	case <-term:
		a.mu.Lock() // what is being written is finished; nothing else begins
		return 0
	}
}

// appendLog is a file and its end.
type appendLog struct {
	mu   sync.Mutex
	f    *os.File
	size int64
}

func openLog(path string) (*appendLog, error) {
	ended, err := openAnswers(path) // a line that a crash cut short is ended
	if err != nil {
		return nil, err
	}
	size, err := ended.f.Seek(0, io.SeekEnd)
	return &appendLog{f: ended.f, size: size}, err
}

// serve answers one connection until it ends. Its error is one of the disk; what
// is wrong with a client concerns nobody.
func (a *appendLog) serve(c net.Conn) error {
	defer c.Close()
	lines := bufio.NewReader(io.LimitReader(c, 1<<30))
	for {
		line, err := lines.ReadString('\n')
		if err != nil || len(line) > 128 {
			return nil
		}
		at, err := a.append(line)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c, strconv.FormatInt(at, 10)+"\n"); err != nil {
			return nil
		}
	}
}

// append writes a line and forces it to the disk. It returns where it is.
func (a *appendLog) append(line string) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.size
	n, err := a.f.WriteString(line)
	a.size += int64(n)
	if err == nil {
		err = a.f.Sync()
	}
	return at, err
}

// appear tells the lab that the application is on this host, from now until the
// process has ended: it holds the connection as long as it lives.
func appear(name string) error {
	var d net.Dialer
	c, err := d.DialContext(context.Background(), "unix", socketsInside+"/"+castSocket)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c, name+"\n"); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && strings.TrimSpace(answer) != "ok" {
		err = fmt.Errorf("cannot appear as %s: %s", name, strings.TrimSpace(answer))
	}
	held = c // not closed before the process ends
	return err
}

// held keeps the collector from closing what this process is seen by.
var held net.Conn
