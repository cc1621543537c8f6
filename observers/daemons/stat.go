package daemons

import (
	"bytes"
	"fmt"
	"strconv"
)

// stat is what is needed of proc_pid_stat(5).
type stat struct {
	state   byte
	flags   uint64
	threads uint64
	start   uint64 // clock ticks after boot
}

// kernelThread is PF_KTHREAD of the kernel's task flags.
const kernelThread = 0x00200000

// alive reports whether the process still does something. A process whose first
// thread has ended is shown as a zombie although its other threads go on.
func (s stat) alive() bool {
	return s.state != 'Z' && s.state != 'X' && s.state != 'x' || s.threads > 1
}

// parseStat reads the text of /proc/PID/stat. The second field is a name in
// brackets that may itself hold blanks and brackets, so fields are counted from
// the last bracket on.
func parseStat(text []byte) (stat, error) {
	var s stat
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return s, fmt.Errorf("no name in brackets in %.40q", text)
	}
	n := 2
	for f := range bytes.FieldsSeq(text[end+1:]) {
		n++
		var err error
		switch n {
		case 3:
			s.state = f[0]
		case 9:
			s.flags, err = strconv.ParseUint(string(f), 10, 64)
		case 20:
			s.threads, err = strconv.ParseUint(string(f), 10, 64)
		case 22:
			if s.start, err = strconv.ParseUint(string(f), 10, 64); err == nil {
				return s, nil
			}
		}
		if err != nil {
			return s, fmt.Errorf("field %d is %.40q, not a number", n, f)
		}
	}
	return s, fmt.Errorf("%d fields, at least 22 wanted", n)
}
