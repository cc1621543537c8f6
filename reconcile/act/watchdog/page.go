package watchdog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"time"
)

// A page keeps the deadline for the next start of the program, and the timeout of the
// device: without it, a program that is killed and started again and again would feed
// the device at every start, and one that is started with a longer timeout would reset
// the host later than others count on.
// It lies where files are gone after a boot (/run), and is written by whoever moves
// the deadline, never by the feeder.
type page struct {
	path string
	boot string
	file *os.File
	last time.Duration

	timeout time.Duration // of the device, kept with every deadline
}

// load reads the deadline that an earlier run of this boot has left, and its timeout;
// never if that held nothing or if there was none. What cannot be read is taken for a
// deadline that has passed: this boot has held something. A zero timeout is not known.
func (p *page) load() (deadline, timeout time.Duration, err error) {
	data, err := os.ReadFile(p.path)
	if errors.Is(err, os.ErrNotExist) {
		return never, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("cannot read the deadline of the last run: %w", err)
	}
	var sum uint32
	var boot string
	text, _, _ := strings.Cut(string(data), "\n")
	n, err := fmt.Sscanf(text, "%08x %s %d %d", &sum, &boot, &deadline, &timeout)
	if n == 3 { // of a program that kept no timeout
		timeout, err = 0, nil
	}
	if err != nil || sum != checksum(boot, deadline, timeout) {
		return 0, 0, fmt.Errorf("cannot read the deadline of the last run: %s is damaged — stop what this host holds, remove the file, and start anew", p.path)
	}
	if boot != p.boot {
		return never, 0, nil // it lies on a disk
	}
	return deadline, timeout, nil
}

func checksum(boot string, deadline, timeout time.Duration) uint32 {
	text := fmt.Appendf(nil, "%s %d", boot, deadline)
	if timeout > 0 {
		text = fmt.Appendf(text, " %d", timeout)
	}
	return crc32.ChecksumIEEE(text)
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
	line := fmt.Sprintf("%08x %s %-20d %-20d\n", checksum(p.boot, deadline, p.timeout), p.boot, deadline, p.timeout)
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
