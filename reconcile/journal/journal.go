package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options of a journal. The zero value is good.
type Options struct {
	Node, BootID string // for records that name none

	MaxSize int64 // bytes of one file before the next is begun; zero: 4 MiB
	Files   int   // files kept, the one written to among them; zero: 4, at most 64

	Log *slog.Logger // told of what is noted; nil: nobody
}

// The bounds of what is held in memory while the disk takes nothing.
const (
	maxHeld      = 4096
	maxHeldBytes = 8 << 20
)

const (
	logName  = "journal.log"
	maxFiles = 64
)

// ErrClosed is the error of an append to a journal that was closed.
var ErrClosed = errors.New("cannot append: the journal is closed")

// ErrHeld says that a record waits in memory because the disk does not take it.
var ErrHeld = errors.New("the record is held in memory")

// State is whether the journal reaches its disk.
type State struct {
	Err     string // why the last write failed, "" if it did not
	Held    int    // records in memory that wait for the disk
	Dropped int    // records lost since Open because too many waited; a note tells where
}

// Journal is open for writing. Its methods are safe for concurrent use; they may
// take as long as the disk does, except State.
type Journal struct {
	dir  string
	opts Options
	lock *os.File

	state atomic.Pointer[State]

	mu        sync.Mutex  // guards all following fields
	f         *os.File    // nil: could not be opened, or closed
	info      fs.FileInfo // of f when it was opened: which file it is
	size      int64       // of f
	open      bool        // a line that is not ended lies at the end of f
	entryNew  bool        // f's directory entry may not be on disk yet
	suspect   bool        // f failed to sync: its cached pages prove nothing
	closed    bool
	seq       uint64 // of the last record
	held      []held
	heldBytes int
	dropped   int
	lost      int    // dropped, and not yet noted
	lostSeq   uint64 // the last of them
	err       error  // of the last write
	unsure    error  // why the file set aside last may not be on disk; noted once
}

// held is a record that is not on disk.
type held struct {
	seq  uint64
	line []byte
}

// Open opens the journal in dir, which it makes if need be (mode 0700), for the
// only writer: a second one is refused. What a crash left at the end that is no
// record is moved to a file ending in ".damaged", and a note says so. A disk
// that is full is no error; see [Journal.State].
func Open(dir string, opts Options) (*Journal, error) {
	if opts.MaxSize <= 0 {
		opts.MaxSize = 4 << 20
	}
	if opts.Files <= 0 {
		opts.Files = 4
	}
	opts.Files = min(opts.Files, maxFiles)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the journal's directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the journal in %s: %w — is another understudy running with this state directory?", dir, err)
	}
	j := &Journal{dir: dir, opts: opts, lock: lock}
	notes, err := j.recover()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the journal in %s: %w", dir, err), j.closeFiles())
	}
	j.publish()
	for _, n := range notes {
		opts.Log.Warn("journal repaired", "reason", n.Why)
		if err := j.Append(n); err != nil {
			return nil, errors.Join(err, j.closeFiles())
		}
	}
	return j, nil
}

// Append writes a record with one write(2): once it returns, the end of this
// process loses nothing; a power cut may. If the disk does not take it, it is
// held in memory, written before the next one, and State says so. The error
// tells of a record that cannot be encoded or a journal that is closed.
func (j *Journal) Append(r Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.append(r)
}

// AppendSync is Append, and returns only when the record and all before it have
// been flushed to the device (fsync(2)). The error wraps [ErrHeld] if the record
// waits in memory instead.
func (j *Journal) AppendSync(r Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.suspect {
		// A second fsync of the same pages reports success without having written
		// them; only a new file can prove anything.
		j.rotate()
	}
	if err := j.append(r); err != nil {
		return err
	}
	if len(j.held) > 0 {
		return fmt.Errorf("cannot write to %s: %w: %w", j.path(0), j.err, ErrHeld)
	}
	defer j.publish()
	if j.suspect {
		return fmt.Errorf("cannot flush %s to its device: it failed before, and no new file could be begun", j.path(0))
	}
	if err := j.f.Sync(); err != nil {
		j.suspect, j.err = true, err
		return fmt.Errorf("cannot flush %s to its device: %w", j.path(0), err)
	}
	if j.entryNew {
		if err := syncDir(j.dir); err != nil {
			j.err = err
			return err
		}
		j.entryNew = false
	}
	return nil
}

// State tells whether the journal reaches its disk. It never waits.
func (j *Journal) State() State { return *j.state.Load() }

// Close writes what is held, if it can, and lets the next writer in. The error
// says how many records are lost with this process.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.flush()
	var err error
	if n := len(j.held); n > 0 {
		err = fmt.Errorf("cannot write the last %d records of the journal: %w", n, j.err)
	}
	return errors.Join(err, j.closeFiles())
}

func (j *Journal) closeFiles() error {
	j.closed = true
	var err error
	if j.f != nil {
		err = errors.Join(j.f.Sync(), j.f.Close())
		j.f = nil
	}
	return errors.Join(err, j.lock.Close())
}

func (j *Journal) append(r Record) error {
	if j.closed {
		return ErrClosed
	}
	j.reopen()
	if r.At.IsZero() {
		r.At = time.Now()
	}
	if r.Node == "" {
		r.Node = j.opts.Node
	}
	if r.BootID == "" {
		r.BootID = j.opts.BootID
	}
	if err := j.hold(r); err != nil {
		return err
	}
	j.flush()
	if j.unsure != nil {
		_ = j.hold(Record{ // plain text can be encoded
			At: time.Now(), Node: j.opts.Node, BootID: j.opts.BootID, Kind: Note,
			Why: "a file of the journal was set aside, and its last records may not survive a power cut",
			Err: j.unsure.Error(),
		})
		j.unsure = nil
		j.flush()
	}
	j.publish()
	return nil
}

// reopen begins a new file if somebody took the present one away.
func (j *Journal) reopen() {
	if j.f == nil || !j.gone() {
		return
	}
	_ = j.f.Close() // every record in it was handed to the kernel
	j.f = nil
	_ = j.hold(Record{ // plain text can be encoded
		At: time.Now(), Node: j.opts.Node, BootID: j.opts.BootID, Kind: Note,
		Why: "somebody deleted or moved " + logName + " while it was in use; the records in it are missing before this one",
	})
}

// hold numbers and queues a record. If too many wait, the oldest is dropped:
// what happened last explains most.
func (j *Journal) hold(r Record) error {
	r.Seq = j.seq + 1
	line, err := encode(r)
	if err != nil {
		return err
	}
	j.seq++
	j.held = append(j.held, held{r.Seq, line})
	j.heldBytes += len(line)
	for len(j.held) > maxHeld || j.heldBytes > maxHeldBytes {
		j.heldBytes -= len(j.held[0].line)
		j.lostSeq = j.held[0].seq
		j.held = j.held[1:]
		j.dropped++
		j.lost++
	}
	return nil
}

// flush writes what is held, in order, until the disk refuses.
func (j *Journal) flush() {
	for len(j.held) > 0 {
		if j.lost > 0 {
			// The note takes the number of the last record that it stands for.
			line, err := encode(Record{
				At: time.Now(), Seq: j.lostSeq, Node: j.opts.Node, BootID: j.opts.BootID, Kind: Note,
				Why: fmt.Sprintf("%d records up to this one were lost: the disk took none, and no more than %d wait in memory", j.lost, maxHeld),
				Err: errText(j.err),
			})
			if err == nil {
				err = j.write(line)
			}
			if err != nil {
				j.err = err
				return
			}
			j.lost = 0
		}
		if err := j.write(j.held[0].line); err != nil {
			j.err = err
			return
		}
		j.heldBytes -= len(j.held[0].line)
		j.held = j.held[1:]
		j.err = nil
	}
	j.held = nil
}

// write adds a line to the file, all of it or nothing.
func (j *Journal) write(line []byte) error {
	if j.f != nil && j.size > 0 && j.size+int64(len(line)) > j.opts.MaxSize {
		j.rotate()
	}
	if j.f == nil {
		if err := j.openLog(); err != nil {
			return err
		}
	}
	if j.open {
		line = append([]byte{'\n'}, line...)
	}
	n, err := j.f.Write(line)
	if err == nil {
		j.size += int64(n)
		j.open = false
		return nil
	}
	if n > 0 {
		if terr := j.f.Truncate(j.size); terr != nil {
			j.size += int64(n)
			j.open = true // the reader skips it, and the next line begins anew
		}
	}
	return err
}

// gone reports whether somebody deleted the file or moved it away.
func (j *Journal) gone() bool {
	fi, err := os.Lstat(j.path(0))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return !os.SameFile(fi, j.info)
}

// openLog opens the present file for appending, and finds out whether it ends in
// the middle of a line.
func (j *Journal) openLog() error {
	f, err := os.OpenFile(j.path(0), os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	j.f, j.info, j.size = f, info, size
	j.open, j.suspect, j.entryNew = !endsLine(f, size), false, true
	return nil
}

// endsLine reports whether the first size bytes of f are whole lines.
func endsLine(f *os.File, size int64) bool {
	if size == 0 {
		return true
	}
	var last [1]byte
	_, err := f.ReadAt(last[:], size-1)
	return err == nil && last[0] == '\n'
}

// publish makes the present state readable without a lock.
func (j *Journal) publish() {
	j.state.Store(&State{Err: errText(j.err), Held: len(j.held), Dropped: j.dropped})
}

// path is the file that is n files old; 0 is the one written to.
func (j *Journal) path(n int) string { return filePath(j.dir, n) }

func filePath(dir string, n int) string {
	if n == 0 {
		return filepath.Join(dir, logName)
	}
	return filepath.Join(dir, fmt.Sprintf("%s.%d", logName, n))
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
