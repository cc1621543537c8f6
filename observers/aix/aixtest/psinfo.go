package aixtest

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Psinfo makes a psinfo file as IBM's reference lays it out ("/proc File"); the
// offsets were compared with those of gopsutil and OSHI, which read it too.
func Psinfo(pid, ppid, session int, start time.Time, name, args string, threads uint32) []byte {
	b := make([]byte, 448)
	put := func(at int, v uint64) { binary.BigEndian.PutUint64(b[at:], v) }
	binary.BigEndian.PutUint32(b[8:], threads)
	put(32, uint64(pid))
	put(40, uint64(ppid))
	put(48, uint64(pid))
	put(56, uint64(session))
	put(96, uint64(start.Unix()))
	binary.BigEndian.PutUint32(b[104:], uint32(start.Nanosecond()))
	copy(b[144:159], name)
	copy(b[160:239], args)
	b[335] = 'A'
	return b
}

// Proc makes a process file system with psinfo files: process 1, this process as it
// is, and others by their number.
func Proc(t testing.TB, others map[int][]byte) string {
	t.Helper()
	dir := t.TempDir()
	all := map[int][]byte{
		1:           Psinfo(1, 0, 0, time.Now().Add(-time.Hour), "init", "/etc/init", 1),
		os.Getpid(): Psinfo(os.Getpid(), os.Getppid(), os.Getpid(), time.Now(), "understudy", "understudy run", 9),
	}
	for pid, b := range others {
		all[pid] = b
	}
	for pid, b := range all {
		Put(t, dir, pid, b)
	}
	return dir
}

// Put writes the psinfo file of a process, or takes it away if b is nil.
func Put(t testing.TB, proc string, pid int, b []byte) {
	t.Helper()
	dir := filepath.Join(proc, strconv.Itoa(pid))
	err := os.RemoveAll(dir)
	if err == nil && b != nil {
		if err = os.MkdirAll(dir, 0o755); err == nil {
			err = os.WriteFile(filepath.Join(dir, "psinfo"), b, 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
