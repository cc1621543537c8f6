package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// maxDamaged is how many ".damaged" files are kept; the oldest go.
const maxDamaged = 16

// recover finds the last number used, opens the present file, and moves aside
// what follows its last good record. It returns what is to be noted. A disk that
// takes nothing is no error: records are held until it does.
func (j *Journal) recover() ([]Record, error) {
	var end int64 // of the last good record in the present file
	for n := 0; n <= maxFiles && j.seq == 0; n++ {
		e, seq, err := lastGood(j.path(n))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if n == 0 {
			end = e
		}
		j.seq = seq
	}
	if err := j.openLog(); err != nil {
		if !takesNothing(err) {
			return nil, err
		}
		j.err = err
		return nil, nil
	}
	if j.size <= end {
		return nil, nil
	}
	notes := []Record{j.cut(end)}
	if old := j.dropOldDamaged(); old != nil {
		notes = append(notes, *old)
	}
	return notes, nil
}

// takesNothing reports whether err is a disk's that is full or failing, which
// must not keep the program from running.
func takesNothing(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// lastGood scans a file: where its last good record ends, and that record's
// number. Both are zero if there is none.
func lastGood(path string) (end int64, seq uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	err = scan(f, func(line []byte, at int64) bool {
		if r, err := decode(line); err == nil {
			end, seq = at+int64(len(line)), max(seq, r.Seq)
		}
		return true
	})
	return end, seq, err
}

// cut moves what lies behind end in the present file aside. If it cannot be
// moved it stays, and the next record begins a new line.
func (j *Journal) cut(end int64) Record {
	length := j.size - end
	note := Record{Kind: Note, Facts: map[string]string{"bytes": fmt.Sprint(length)}}
	name, err := j.setAside(end, length)
	if err == nil {
		err = j.f.Truncate(end)
	}
	if err != nil {
		note.Why = fmt.Sprintf("the journal ended in %d bytes that are no record; they could not be moved aside and were left where they are", length)
		note.Err = err.Error()
		return note
	}
	note.Why = fmt.Sprintf("the journal ended in %d bytes that are no record, as a crash leaves them; they were moved to %s", length, name)
	note.Facts["file"] = name
	j.size, j.open = end, !endsLine(j.f, end)
	return note
}

// setAside copies part of the present file to a new one, durably.
func (j *Journal) setAside(from, length int64) (string, error) {
	for i := 1; ; i++ {
		name := fmt.Sprintf("journal.%04d.damaged", i)
		f, err := os.OpenFile(filepath.Join(j.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = io.Copy(f, io.NewSectionReader(j.f, from, length))
		err = errors.Join(err, f.Sync(), f.Close())
		if err == nil {
			err = syncDir(j.dir)
		}
		if err != nil {
			return "", errors.Join(err, os.Remove(f.Name()))
		}
		return name, nil
	}
}

// dropOldDamaged keeps the newest of the files set aside. It returns a note if
// it removed any.
func (j *Journal) dropOldDamaged() *Record {
	names, _ := filepath.Glob(filepath.Join(j.dir, "journal.*.damaged")) // fails only on a bad pattern
	if len(names) <= maxDamaged {
		return nil
	}
	age := func(name string) int64 {
		fi, err := os.Lstat(name)
		if err != nil {
			return 0
		}
		return fi.ModTime().UnixNano()
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(age(a), age(b)) })
	note := &Record{Kind: Note, Why: fmt.Sprintf("more than %d damaged files were kept; the oldest of them were removed", maxDamaged)}
	for _, n := range names[:len(names)-maxDamaged] {
		if err := os.Remove(n); err != nil {
			note.Err = err.Error()
		}
	}
	return note
}

// scan calls line with every line of f and its offset, the end of line included
// where there is one, until it returns false. A line longer than a record can be
// comes in pieces, none of which is a record.
func scan(f io.Reader, line func(b []byte, at int64) bool) error {
	buf := make([]byte, 64<<10)
	var have []byte // not yet ended
	var at int64    // of have[0]
	for {
		n, err := f.Read(buf)
		have = append(have, buf[:n]...)
		for {
			i := bytes.IndexByte(have, '\n')
			if i < 0 {
				if len(have) <= maxLine {
					break
				}
				i = len(have) - 1
			}
			if !line(have[:i+1], at) {
				return nil
			}
			at += int64(i + 1)
			have = have[i+1:]
		}
		if errors.Is(err, io.EOF) {
			if len(have) > 0 {
				line(have, at)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}
