// Package wire is what the lab and the agents in its guests say to each other, over
// a serial port of virtio: one frame is one line of text,
//
//	TYPE STREAM PAYLOAD
//
// with the payload in base64. Lines find their beginning again: where a guest was
// reset in the middle of a frame, the torn line is dropped and the next one is good.
//
// What it decides: nothing. What it must never do: take a torn line for a frame.
// Who calls it: package vmlab on the host, package guest in the guests.
package wire

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// The types of frames.
const (
	Hello   = 'H' // guest to host: a Greeting, again and again until Welcome
	Welcome = 'W' // host to guest: the session
	Open    = 'O' // host to guest: a Request opens a stream
	In      = 'I' // host to guest: bytes of a file
	InEnd   = 'E' // host to guest: the file's end
	Cancel  = 'K' // host to guest: nobody waits for the stream any more
	Out     = 'o' // guest to host: standard output, or bytes of a file
	Err     = 'e' // guest to host: standard error
	Exit    = 'x' // guest to host: a Result ends the stream
	Ask     = 'R' // guest to host: a Request to the power controller
	Answer  = 'r' // host to guest: its Result
)

// Chunk is how many bytes of a stream go into one frame.
const Chunk = 24 << 10

// Greeting is what a guest says of itself when it is up.
type Greeting struct {
	Session string  `json:"session"` // another one after every boot
	BootID  string  `json:"boot_id"`
	Kernel  string  `json:"kernel"`
	Uptime  float64 `json:"uptime"` // seconds
}

// Request asks the guest to run a command or to take or give a file, or the power
// controller to switch a node.
type Request struct {
	Session  string   `json:"session,omitempty"` // the guest ignores what was meant for an earlier boot
	Op       string   `json:"op"`                // exec, put, get, power
	Node     string   `json:"node,omitempty"`
	Args     []string `json:"args,omitempty"`
	Mode     uint32   `json:"mode,omitempty"`     // of the file
	Detached bool     `json:"detached,omitempty"` // the command runs on; its output goes to a file
}

// Result ends a stream.
type Result struct {
	Code int    `json:"code"`
	Err  string `json:"err,omitempty"`
	Out  string `json:"out,omitempty"`
}

// Fail is a Result with an error.
func Fail(code int, format string, args ...any) Result {
	return Result{Code: code, Err: fmt.Sprintf(format, args...)}
}

// Frame is one line.
type Frame struct {
	Type   byte
	Stream uint32
	Data   []byte
}

// JSON reads the payload.
func (f Frame) JSON(v any) error { return json.Unmarshal(f.Data, v) }

// Writer writes frames; any goroutine may.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Send writes one frame.
func (w *Writer) Send(kind byte, stream uint32, data []byte) error {
	b := make([]byte, 0, len(data)*4/3+32)
	b = append(b, kind, ' ')
	b = strconv.AppendUint(b, uint64(stream), 10)
	b = append(b, ' ')
	b = base64.StdEncoding.AppendEncode(b, data)
	b = append(b, '\n')
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.w.Write(b)
	return err
}

// Break begins a new line, so that what follows a torn frame can be read.
func (w *Writer) Break() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.w.Write([]byte{'\n'})
	return err
}

// SendJSON writes one frame with a value.
func (w *Writer) SendJSON(kind byte, stream uint32, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Send(kind, stream, b)
}

// Stream returns an io.Writer that makes frames of one type of what is written.
func (w *Writer) Stream(kind byte, stream uint32) io.Writer { return streamWriter{w, kind, stream} }

type streamWriter struct {
	w      *Writer
	kind   byte
	stream uint32
}

func (s streamWriter) Write(p []byte) (int, error) {
	n := 0
	for len(p) > 0 {
		c := min(len(p), Chunk)
		if err := s.w.Send(s.kind, s.stream, p[:c]); err != nil {
			return n, err
		}
		n += c
		p = p[c:]
	}
	return n, nil
}

// Reader reads frames.
type Reader struct{ r *bufio.Reader }

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{bufio.NewReaderSize(r, 128<<10)} }

// Next returns the next whole frame and skips torn lines.
func (r *Reader) Next() (Frame, error) {
	for {
		line, err := r.r.ReadString('\n')
		if err != nil {
			return Frame{}, err
		}
		p := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(p) != 3 || len(p[0]) != 1 {
			continue
		}
		n, err := strconv.ParseUint(p[1], 10, 32)
		if err != nil {
			continue
		}
		d, err := base64.StdEncoding.DecodeString(p[2])
		if err != nil {
			continue
		}
		return Frame{p[0][0], uint32(n), d}, nil
	}
}
