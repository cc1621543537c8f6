package act

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// mountOptions is options of mount(8) as mount(2) wants them.
type mountOptions struct {
	flags uintptr
	data  string
}

func (o mountOptions) readOnly() bool { return o.flags&unix.MS_RDONLY != 0 }

// setFlags and clearFlags are the options that are bits of mount(2); see
// mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS".
var (
	setFlags = map[string]uintptr{
		"ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
		"sync": unix.MS_SYNCHRONOUS, "dirsync": unix.MS_DIRSYNC, "noatime": unix.MS_NOATIME,
		"nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME, "strictatime": unix.MS_STRICTATIME,
		"lazytime": unix.MS_LAZYTIME, "iversion": unix.MS_I_VERSION, "silent": unix.MS_SILENT,
		"nosymfollow": unix.MS_NOSYMFOLLOW,
	}
	clearFlags = map[string]uintptr{
		"rw": unix.MS_RDONLY, "suid": unix.MS_NOSUID, "dev": unix.MS_NODEV, "exec": unix.MS_NOEXEC,
		"async": unix.MS_SYNCHRONOUS, "atime": unix.MS_NOATIME, "diratime": unix.MS_NODIRATIME,
		"norelatime": unix.MS_RELATIME, "nostrictatime": unix.MS_STRICTATIME, "nolazytime": unix.MS_LAZYTIME,
		"noiversion": unix.MS_I_VERSION, "loud": unix.MS_SILENT, "symfollow": unix.MS_NOSYMFOLLOW,
	}
	// forPrograms are read by mount(8) and the init system, not by the kernel.
	forPrograms = map[string]bool{
		"auto": true, "noauto": true, "_netdev": true, "nofail": true, "user": true, "nouser": true,
		"users": true, "owner": true, "group": true,
	}
	// notAMount change the meaning of mount(2) altogether.
	notAMount = map[string]bool{
		"remount": true, "bind": true, "rbind": true, "move": true, "loop": true,
		"shared": true, "rshared": true, "private": true, "rprivate": true,
		"slave": true, "rslave": true, "unbindable": true, "runbindable": true,
	}
)

// parseMountOptions takes options one by one, the last word winning as in
// mount(8). What it does not know goes to the file system, which refuses what it
// does not know either.
func parseMountOptions(options []string) (mountOptions, error) {
	var o mountOptions
	var data []string
	for _, list := range options {
		for word := range strings.SplitSeq(list, ",") {
			word = strings.TrimSpace(word)
			name, _, _ := strings.Cut(word, "=")
			switch {
			case word == "", forPrograms[word], strings.HasPrefix(word, "x-"), name == "comment":
			case word == "defaults":
				o.flags &^= unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_SYNCHRONOUS
			case notAMount[name]:
				return o, fmt.Errorf("mount option %q does not mount a device — remove it", word)
			case setFlags[word] != 0:
				o.flags |= setFlags[word]
			case clearFlags[word] != 0:
				o.flags &^= clearFlags[word]
			default:
				data = append(data, word)
			}
		}
	}
	o.data = strings.Join(data, ",")
	if len(o.data) >= 4095 {
		return o, fmt.Errorf("mount options are longer than the kernel takes (4095 bytes)")
	}
	return o, nil
}
