package disk

import (
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// aligned makes a buffer of n bytes whose address is a multiple of BlockSize, as
// O_DIRECT demands (open(2)).
func aligned(n int) []byte {
	b := make([]byte, n+BlockSize)
	skip := (BlockSize - int(uintptr(unsafe.Pointer(&b[0]))%BlockSize)) % BlockSize
	return b[skip : skip+n : skip+n]
}

// file is a device node or, in tests, a file.
type file struct{ f *os.File }

// OpenDevice opens a device past the page cache of this host, every write of
// which is complete only when it is on the disk.
func OpenDevice(path string) (Device, error) { return open(path, 0) }

func open(path string, flags int) (*file, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_DIRECT|unix.O_DSYNC|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the disk %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() && (st.Mode()&os.ModeDevice == 0 || st.Mode()&os.ModeCharDevice != 0) {
		err = fmt.Errorf("it is %s", st.Mode().Type())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot use %s as a disk: %w", path, err)
	}
	return &file{f: f}, nil
}

func (d *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := unix.Pread(int(d.f.Fd()), p, off)
	return max(n, 0), err
}

func (d *file) WriteAt(p []byte, off int64) (int, error) {
	n, err := unix.Pwrite(int(d.f.Fd()), p, off)
	return max(n, 0), err
}

func (d *file) Close() error { return d.f.Close() }

// size is the length of the device in bytes.
func (d *file) size() (int64, error) { return d.f.Seek(0, io.SeekEnd) }

// lock keeps other processes of this host off a range until the device is closed,
// which a process killed in the middle of a call does only when the call has
// returned (fcntl(2), open file description locks). It says nothing to other hosts.
func (d *file) lock(off, n int64) error {
	return unix.FcntlFlock(d.f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: off, Len: n})
}
