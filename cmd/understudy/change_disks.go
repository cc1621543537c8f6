package main

import (
	"io/fs"
	"os"
	"slices"
	"syscall"

	"understudy/config"
)

// shared is a disk that a changed file gives to one group and that another one has in
// the file before, under another name.
type shared struct {
	from, was string // group and path in the file before
	to, is    string // in the changed one
}

// sameDisks finds what [config.Fixed] and [config.Moves] cannot see: they compare paths,
// and only a host knows which of them are one disk. What is not there cannot be compared.
func sameDisks(old, next *config.Config) []shared {
	numbers := map[string]uint64{}
	number := func(path string) uint64 {
		n, known := numbers[path]
		if !known {
			n = deviceNumber(path)
			numbers[path] = n
		}
		return n
	}
	var out []shared
	for i := range next.Groups {
		n := &next.Groups[i]
		var had []string
		if o := old.Group(n.Name); o != nil {
			had = o.SharedDevices()
		}
		for _, is := range n.SharedDevices() {
			if slices.Contains(had, is) {
				continue
			}
			for k := range old.Groups {
				o := &old.Groups[k]
				if o.Name == n.Name {
					continue
				}
				for _, was := range o.SharedDevices() {
					if was != is && number(is) != 0 && number(was) == number(is) {
						out = append(out, shared{from: o.Name, was: was, to: n.Name, is: is})
					}
				}
			}
		}
	}
	return out
}

// deviceNumber is the number of a block device, links followed; 0 if the path is none.
func deviceNumber(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&fs.ModeDevice == 0 || info.Mode()&fs.ModeCharDevice != 0 {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(st.Rdev)
}
