package daemons

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// small is the size up to which pid files and records are read.
const small = 4096

// written is when and by which user a file was written.
type written struct {
	at  time.Time
	uid uint32
}

// readSmall reads a regular file. Absent is fs.ErrNotExist, also where a
// directory on the way is missing.
func readSmall(path string) ([]byte, written, error) {
	// A FIFO in place of the file must not hold the look.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, written{}, fs.ErrNotExist
	}
	if err != nil {
		return nil, written{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, written{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, written{}, fmt.Errorf("%s is not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, small))
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, written{}, fmt.Errorf("cannot tell who owns %s", path)
	}
	return text, written{info.ModTime(), st.Uid}, err
}

// parsePID reads the text of a pid file: a decimal number, perhaps followed by
// other words or lines (postmaster.pid). Zero: the file is empty, as it is for a
// moment while a daemon writes it.
func parsePID(text []byte) (int, error) {
	words := strings.Fields(string(text))
	if len(words) == 0 {
		return 0, nil
	}
	pid, err := strconv.ParseInt(words[0], 10, 32)
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%.20q is not a pid", words[0])
	}
	return int(pid), nil
}

// record is what is remembered of the process that understudy itself started
// for an application with Run.
type record struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"` // clock ticks after boot
	BootID string `json:"boot_id"`
}

// lostPower reports whether a record is what a power cut leaves of one that had not
// reached the disk: nothing, or zeroes. It is of an earlier boot then: while a host
// runs, a record is replaced as a whole and never read in part.
func lostPower(text []byte) bool { return len(bytes.Trim(text, "\x00")) == 0 }

func parseRecord(text []byte) (record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	if r.PID <= 0 || r.Start == 0 || r.BootID == "" {
		return r, errors.New("pid, start or boot_id is missing")
	}
	return r, nil
}
