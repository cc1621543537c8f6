package watchdog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"understudy/config"
)

// sysfs is where the kernel lists watchdogs.
const sysfs = "/sys/class/watchdog"

// softdogIdentity is how softdog calls itself (drivers/watchdog/softdog.c).
const softdogIdentity = "Software Watchdog"

// candidates are the devices to try, best first: the one that is named, or those of
// the hardware and then softdog, each in the order of their numbers.
func candidates(name, class string) ([]string, error) {
	if name != config.WatchdogAuto {
		return []string{name}, nil
	}
	entries, err := os.ReadDir(class)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	type found struct {
		path string
		n    int
		soft bool
	}
	var all []found
	for _, e := range entries {
		n, err := strconv.Atoi(strings.TrimPrefix(e.Name(), "watchdog"))
		if err != nil {
			continue
		}
		all = append(all, found{"/dev/" + e.Name(), n, attribute(class, "/dev/"+e.Name(), "identity") == softdogIdentity})
	}
	slices.SortFunc(all, func(a, b found) int {
		if a.soft != b.soft {
			if a.soft {
				return 1
			}
			return -1
		}
		return a.n - b.n
	})
	var out []string
	for _, f := range all {
		out = append(out, f.path)
	}
	if len(out) == 0 {
		return nil, errors.New("cannot find a watchdog: this host has none — load the driver of the board's, or softdog")
	}
	return out, nil
}

// attribute is one fact of sysfs about a device, "" if there is none.
func attribute(class, device, name string) string {
	data, err := os.ReadFile(filepath.Join(class, filepath.Base(device), name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
