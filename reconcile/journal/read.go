package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Filter chooses records. The zero value chooses all.
type Filter struct {
	Group string    // "": of every group and of none
	Kinds []Kind    // empty: every kind
	Since time.Time // not before; zero: from the first
	After uint64    // only numbers above; zero: from the first
	Last  int       // only so many, the newest; zero: all
}

// match leaves Last aside.
func (f *Filter) match(r *Record) bool {
	return (f.Group == "" || r.Group == f.Group) &&
		(len(f.Kinds) == 0 || slices.Contains(f.Kinds, r.Kind)) &&
		(f.Since.IsZero() || !r.At.Before(f.Since)) &&
		r.Seq > f.After
}

// All yields the records kept, oldest first, those held in memory among them.
// What lies between two records and is none is skipped; a record of kind [Note]
// without number, node and time says so in its place, and no filter hides it. An
// error ends the sequence. Appending goes on meanwhile.
func (j *Journal) All(f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		j.mu.Lock()
		files, err := openAll(j.dir)
		if n := len(files); n > 0 && j.f != nil && files[n-1].Name() == j.path(0) {
			files[n-1].until = j.size // what comes later may be among those waiting now
		}
		waiting := slices.Clone(j.held)
		j.mu.Unlock()
		defer closeAll(files)
		if err != nil {
			yield(Record{}, err)
			return
		}
		last(f, func(yield func(Record, error) bool) {
			if !records(files, f, yield) {
				return
			}
			for _, h := range waiting {
				r, err := decode(h.line)
				if err != nil || !f.match(&r) {
					continue
				}
				if !yield(r, nil) {
					return
				}
			}
		})(yield)
	}
}

// Records is [Journal.All] in a slice.
func (j *Journal) Records(f Filter) ([]Record, error) { return collect(j.All(f)) }

// Read is [Journal.All] for one who does not write: it needs no lock, may run
// beside the writer, and yields nothing if there is no journal in dir.
func Read(dir string, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		files, err := openAll(dir)
		defer closeAll(files)
		if err != nil {
			yield(Record{}, err)
			return
		}
		last(f, func(yield func(Record, error) bool) { records(files, f, yield) })(yield)
	}
}

// source is a file to be read, up to a length.
type source struct {
	*os.File
	until int64
}

// openAll opens every file, oldest first. It goes from the newest to the oldest,
// the way that rotation moves them, so that it may meet one twice but misses
// none.
func openAll(dir string) ([]source, error) {
	var files []source
	var infos []fs.FileInfo
	for n := range maxFiles + 1 {
		f, err := os.Open(filePath(dir, n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return files, fmt.Errorf("cannot read the journal: %w", err)
		}
		fi, err := f.Stat()
		if err != nil {
			return append(files, source{f, 0}), fmt.Errorf("cannot read the journal: %w", err)
		}
		if slices.ContainsFunc(infos, func(o fs.FileInfo) bool { return os.SameFile(o, fi) }) {
			_ = f.Close()
			continue
		}
		files, infos = append(files, source{f, math.MaxInt64}), append(infos, fi)
	}
	slices.Reverse(files)
	return files, nil
}

func closeAll(files []source) {
	for _, f := range files {
		_ = f.Close() // opened for reading
	}
}

// records yields what the files hold. It reports whether to go on.
func records(files []source, f Filter, yield func(Record, error) bool) bool {
	for i, file := range files {
		name := filepath.Base(file.Name())
		goOn := true
		var lines, size int // no records, since the last one
		damage := func() {
			if size == 0 {
				return
			}
			goOn = yield(Record{
				Kind:  Note,
				Why:   fmt.Sprintf("%d bytes of %s are no record and were skipped", size, name),
				Facts: map[string]string{"file": name, "bytes": fmt.Sprint(size), "lines": fmt.Sprint(lines)},
			}, nil)
			lines, size = 0, 0
		}
		err := scan(io.NewSectionReader(file, 0, file.until), func(line []byte, _ int64) bool {
			r, err := decode(line)
			if err != nil {
				ended := bytes.HasSuffix(line, []byte{'\n'})
				if len(bytes.TrimSpace(line)) > 0 && (ended || i < len(files)-1) {
					lines++
					size += len(line)
				} // else it is empty, or being written at this moment
				return true
			}
			if damage(); goOn && f.match(&r) {
				goOn = yield(r, nil)
			}
			return goOn
		})
		if goOn {
			damage()
		}
		if err != nil && goOn {
			yield(Record{}, fmt.Errorf("cannot read the journal: %w", err))
			return false
		}
		if !goOn {
			return false
		}
	}
	return true
}

// last keeps the newest f.Last of a sequence.
func last(f Filter, seq iter.Seq2[Record, error]) iter.Seq2[Record, error] {
	if f.Last <= 0 {
		return seq
	}
	return func(yield func(Record, error) bool) {
		var ring []Record
		next := 0 // the oldest, once the ring is full
		for r, err := range seq {
			switch {
			case err != nil:
				yield(Record{}, err)
				return
			case len(ring) < f.Last:
				ring = append(ring, r)
			default:
				ring[next] = r
				next = (next + 1) % f.Last
			}
		}
		for _, part := range [][]Record{ring[next:], ring[:next]} {
			for _, r := range part {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

func collect(seq iter.Seq2[Record, error]) ([]Record, error) {
	var out []Record
	for r, err := range seq {
		if err != nil {
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}
