package journal

import (
	"errors"
	"io/fs"
	"os"
)

// rotate sets the present file aside as the newest of the old ones. If that
// cannot be done the present file grows on, which loses nothing. It may stop
// between any two renames: a gap in the numbers is closed by the next one. The
// file is flushed first, because AppendSync vouches for all that came before.
func (j *Journal) rotate() {
	if j.f != nil {
		err := j.f.Sync()
		if j.suspect {
			err = errFlushed
		}
		if err != nil {
			j.unsure = err // noted by append
		}
	}
	for n := j.opts.Files; n <= maxFiles; n++ { // from a time when more were kept
		_ = os.Remove(j.path(n))
	}
	free := 1
	for free < j.opts.Files-1 && exists(j.path(free)) {
		free++
	}
	// The file numbered free is missing, or the oldest and replaced.
	for n := free; n > 0; n-- {
		if n >= j.opts.Files {
			continue
		}
		if err := os.Rename(j.path(n-1), j.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	if j.opts.Files == 1 {
		if err := os.Remove(j.path(0)); err != nil {
			return
		}
	}
	if j.f != nil {
		_ = j.f.Close() // flushed above, and nothing is buffered here
		j.f = nil
	}
}

// errFlushed is the reason for a file whose flush failed once: a second one
// would report success without having written anything.
var errFlushed = errors.New("it could not be flushed to its device")

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
