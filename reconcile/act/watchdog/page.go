package watchdog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"time"
)

// A page keeps the deadline for the next start of the program: without it, a program
// that is killed and started again and again would feed the device at every start.
// It lies where files are gone after a boot (/run), and is written by whoever moves
// the deadline, never by the feeder.
type page struct {
	path string
	boot string
	file *os.File
	last time.Duration
}

// load reads the deadline that an earlier run of this boot has left, never if that
// held nothing or if there was none. What cannot be read is taken for a deadline that
// has passed: this boot has held something.
func (p *page) load() (time.Duration, error) {
	data, err := os.ReadFile(p.path)
	if errors.Is(err, os.ErrNotExist) {
		return never, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the deadline of the last run: %w", err)
	}
	var sum uint32
	var boot string
	var deadline int64
	text, _, _ := strings.Cut(string(data), "\n")
	if _, err := fmt.Sscanf(text, "%08x %s %d", &sum, &boot, &deadline); err != nil || sum != checksum(boot, time.Duration(deadline)) {
		return 0, fmt.Errorf("cannot read the deadline of the last run: %s is damaged — stop what this host holds, remove the file, and start anew", p.path)
	}
	if boot != p.boot {
		return never, nil // it lies on a disk
	}
	return time.Duration(deadline), nil
}

func checksum(boot string, deadline time.Duration) uint32 {
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%s %d", boot, deadline))
}

// save keeps a deadline. One write of one line: a kill leaves the old or the new.
func (p *page) save(deadline time.Duration) error {
	if p.path == "" || p.file != nil && p.last == deadline {
		return nil
	}
	if p.file == nil {
		f, err := os.OpenFile(p.path, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("cannot keep the deadline for the next start: %w", err)
		}
		p.file = f
	}
	line := fmt.Sprintf("%08x %s %-20d\n", checksum(p.boot, deadline), p.boot, deadline)
	if _, err := p.file.WriteAt([]byte(line), 0); err != nil {
		return fmt.Errorf("cannot keep the deadline for the next start: %w", err)
	}
	p.last = deadline
	return nil
}

func (p *page) close() {
	if p.file != nil {
		_ = p.file.Close()
		p.file = nil
	}
}
