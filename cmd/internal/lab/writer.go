//go:build linux

package lab

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// writerMain writes for as long as it lives: one line at a time, the next one only
// when the last was answered or given up, and never one of them twice. Its record
// says of each line when it was sent, written before that, and when it was
// answered, and with what, written after that:
//
//	s NUMBER TIME
//	a NUMBER TIME PLACE
//
// with times of CLOCK_MONOTONIC in nanoseconds. The record lies outside the host and outlives it.
func writerMain(args []string, errw io.Writer) int {
	flags := flag.NewFlagSet("lab-writer", flag.ContinueOnError)
	flags.SetOutput(errw)
	target := flags.String("to", "", "address and port of the log")
	id := flags.String("id", "", "who it is: the first word of its lines")
	every := flags.Duration("every", 50*time.Millisecond, "between two lines")
	limit := flags.Duration("limit", 250*time.Millisecond, "for an answer, and for a connection")
	record := flags.String("record", "", "file of what was sent and answered")
	if flags.Parse(args) != nil || *target == "" || *id == "" || *record == "" || *every <= 0 {
		return 2
	}
	f, err := os.OpenFile(*record, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		fmt.Fprintf(errw, "lab-writer: %v\n", err)
		return 1
	}
	w := &lineWriter{to: *target, id: *id, limit: *limit, record: f}
	for n := int64(1); ; n++ {
		began := time.Now()
		if err := w.write(n); err != nil {
			fmt.Fprintf(errw, "lab-writer: %v\n", err)
			return 1
		}
		time.Sleep(*every - time.Since(began))
	}
}

type lineWriter struct {
	to, id string
	limit  time.Duration
	record *os.File
	conn   net.Conn // nil: none
	in     *bufio.Reader
}

// write sends one line. Its error is one of the record: what was sent without a
// record would look like a line of nobody.
func (w *lineWriter) write(n int64) error {
	if w.conn == nil {
		d := net.Dialer{Timeout: w.limit, KeepAlive: -1}
		c, err := d.Dial("tcp", w.to)
		if err != nil {
			return nil // nothing was sent
		}
		c.(*net.TCPConn).SetLinger(0)
		w.conn, w.in = c, bufio.NewReader(c)
	}
	if _, err := fmt.Fprintf(w.record, "s %d %d\n", n, monotonic()); err != nil {
		return err
	}
	place, err := w.once(n)
	if err != nil {
		w.conn.Close()
		w.conn = nil
		return nil
	}
	_, err = fmt.Fprintf(w.record, "a %d %d %d\n", n, monotonic(), place)
	return err
}

func (w *lineWriter) once(n int64) (int64, error) {
	w.conn.SetDeadline(time.Now().Add(w.limit))
	if _, err := io.WriteString(w.conn, lineOf(w.id, n)); err != nil {
		return 0, err
	}
	answer, err := w.in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(answer), 10, 64)
}

// lineOf is the line that a writer sends as its nth. Its mark at the end tells it
// from one that was cut short.
func lineOf(id string, n int64) string { return fmt.Sprintf("%s %d.\n", id, n) }

// readWrites is what a writer sent and was answered. The last line of a record may
// be cut short by the end of its writer.
func readWrites(id string, text io.Reader) ([]sent, error) {
	var all []sent
	lines := bufio.NewReader(text)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		f := strings.Fields(line)
		var v [3]int64
		ok := len(f) == 3 && f[0] == "s" || len(f) == 4 && f[0] == "a"
		for i := 1; ok && i < len(f); i++ {
			v[i-1], err = strconv.ParseInt(f[i], 10, 64)
			ok = err == nil
		}
		last := len(all) - 1
		switch {
		case ok && f[0] == "s":
			all = append(all, sent{line: lineOf(id, v[0]), at: v[1], place: -1})
		case ok && last >= 0 && all[last].line == lineOf(id, v[0]):
			all[last].answered, all[last].place = v[1], v[2]
		default:
			return nil, fmt.Errorf("cannot read the record of %s: line %q", id, line)
		}
	}
}
