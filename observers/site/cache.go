//go:build unix

package site

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// Cache remembers the checksums of files that have not changed since, by what the
// inode says of them. The zero value and nil are empty; nil stays so.
type Cache struct {
	mu   sync.Mutex
	kept map[string]sum
}

// sum is a checksum and the inode it is of.
type sum struct {
	info   os.FileInfo
	change syscall.Timespec // no write and no rename leaves it as it was
	digest string
}

// settled is how long an inode must have been left alone before its times tell that
// nothing was written since: clocks of file systems tick in milliseconds.
const settled = 2 * time.Second

func (c *Cache) digest(name string, info os.FileInfo) string {
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[name]
	if !ok || !os.SameFile(k.info, info) || k.info.Size() != info.Size() || !k.info.ModTime().Equal(info.ModTime()) || k.change != changed(info) {
		return ""
	}
	return k.digest
}

func (c *Cache) keep(name string, info os.FileInfo, digest string) {
	if c == nil || time.Since(info.ModTime()) < settled {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[string]sum{}
	}
	c.kept[name] = sum{info, changed(info), digest}
}
