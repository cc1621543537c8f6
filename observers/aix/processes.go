package aix

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Psinfo is what is used of /proc/PID/psinfo (reference, "/proc File": struct
// psinfo, the same for programs of 32 and 64 bits).
type Psinfo struct {
	PID, PPID, PGID, Session int
	User                     uint32    // effective user
	Start                    time.Time // of the process, to the nanosecond as far as AIX keeps it
	Name                     string    // last component of the program's path, at most 15 bytes of it
	Args                     string    // the first 79 bytes of its arguments
	Zombie                   bool      // it has ended and nobody has asked how
}

// Where the fields of struct psinfo lie, in bytes. All numbers are big-endian.
const (
	psNlwp      = 8 // uint32
	psEUID      = 24
	psPID       = 32
	psPPID      = 40
	psPGID      = 48
	psSID       = 56
	psStartSec  = 96
	psStartNsec = 104 // int32
	psName      = 144
	psArgs      = 160
	psArgsEnd   = 240
	psLwpState  = 335 // pr_lwp.pr_sname
	psSize      = 336 // what must be there; the structure itself is longer
)

// ParsePsinfo reads the content of a psinfo file.
func ParsePsinfo(b []byte) (Psinfo, error) {
	if len(b) < psSize {
		return Psinfo{}, fmt.Errorf("cannot read psinfo: %d bytes, at least %d wanted", len(b), psSize)
	}
	number := func(at int) int { return int(int64(binary.BigEndian.Uint64(b[at:]))) }
	p := Psinfo{PID: number(psPID), PPID: number(psPPID), PGID: number(psPGID), Session: number(psSID)}
	sec, nsec := number(psStartSec), int32(binary.BigEndian.Uint32(b[psStartNsec:]))
	if p.PID < 0 || p.PPID < 0 || p.PGID < 0 || p.Session < 0 || sec < 0 || sec > 1<<40 || nsec < 0 || nsec >= 1e9 {
		return Psinfo{}, errors.New("cannot read psinfo: a number in it is out of range")
	}
	p.User = uint32(number(psEUID))
	p.Start = time.Unix(int64(sec), int64(nsec)).UTC()
	p.Name, p.Args = cString(b[psName:psArgs]), cString(b[psArgs:psArgsEnd])
	p.Zombie = binary.BigEndian.Uint32(b[psNlwp:]) == 0 || b[psLwpState] == 'Z'
	return p, nil
}

func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// Listed is one line of ps.
type Listed struct {
	PID, PPID int
	Elapsed   time.Duration // since it was started, to the second; negative where ps prints none
	Args      string        // arguments joined by blanks
}

// psColumns is what ps is asked for.
const psColumns = "pid,ppid,etime,args"

// ParsePS reads what ps -o pid,ppid,etime,args prints. Processes that have ended
// and were not reaped are left out: ps prints <defunct> for their arguments.
func ParsePS(text string) ([]Listed, error) {
	heading, rest, _ := strings.Cut(text, "\n")
	if strings.Join(strings.Fields(heading), " ") != "PID PPID ELAPSED COMMAND" {
		return nil, fmt.Errorf("cannot read what ps prints: %.80q is not its heading", heading)
	}
	out := []Listed{}
	for line := range strings.SplitSeq(rest, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || f[len(f)-1] == "<defunct>" {
			continue
		}
		if len(f) < 3 {
			return nil, fmt.Errorf("cannot read what ps prints: %.120q is not a process", line)
		}
		pid, err1 := strconv.Atoi(f[0])
		ppid, err2 := strconv.Atoi(f[1])
		if err1 != nil || err2 != nil || pid < 0 || ppid < 0 {
			return nil, fmt.Errorf("cannot read what ps prints: %.120q has no process numbers", line)
		}
		l := Listed{PID: pid, PPID: ppid, Elapsed: -1}
		words := 2
		if d, err := parseElapsed(f[2]); err == nil {
			l.Elapsed, words = d, 3
		} else if f[2] == "-" {
			words = 3
		}
		l.Args = behind(line, words)
		out = append(out, l)
	}
	return out, nil
}

// behind is what follows the first n words of a line, blanks inside it kept.
func behind(line string, n int) string {
	line = strings.TrimLeft(line, " \t")
	for range n {
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			return ""
		}
		line = strings.TrimLeft(line[i:], " \t")
	}
	return strings.TrimRight(line, " \t\r")
}

// parseElapsed reads [[dd-]hh:]mm:ss (POSIX, ps).
func parseElapsed(s string) (time.Duration, error) {
	bad := fmt.Errorf("%.40q is not an elapsed time", s)
	var days int
	if d, rest, ok := strings.Cut(s, "-"); ok {
		n, err := strconv.ParseUint(d, 10, 16)
		if err != nil {
			return 0, bad
		}
		days, s = int(n), rest
	}
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 || days > 0 && len(parts) != 3 {
		return 0, bad
	}
	seconds := 0
	for _, p := range parts {
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil || n > 59 {
			return 0, bad
		}
		seconds = seconds*60 + int(n)
	}
	return time.Duration(days)*24*time.Hour + time.Duration(seconds)*time.Second, nil
}

// ParseFuser reads the process numbers that fuser writes to its standard output.
// A letter or a name in brackets may follow a number, if the shell joined both
// outputs.
func ParseFuser(text string) ([]int, error) {
	var out []int
	for word := range strings.FieldsSeq(text) {
		digits := strings.TrimRight(strings.SplitN(word, "(", 2)[0], "cersp")
		if digits == "" || strings.HasSuffix(word, ":") {
			continue // the letter of the number before, or the name of the file
		}
		pid, err := strconv.Atoi(digits)
		if err != nil || pid < 0 {
			return nil, fmt.Errorf("cannot read what fuser prints: %.40q is not a process", word)
		}
		out = append(out, pid)
	}
	return out, nil
}

// Subsystem is one line of lssrc.
type Subsystem struct {
	Name, Group string
	PID         int // 0 while it does not run
	Status      string
}

// ParseLssrc reads what lssrc -a, -g and -s print. Group and process may be
// missing.
func ParseLssrc(text string) ([]Subsystem, error) {
	out := []Subsystem{}
	heading := false
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
			continue
		case strings.Join(f, " ") == "Subsystem Group PID Status":
			heading = true
			continue
		case !heading:
			continue // what a subsystem says of itself stands before the table
		case len(f) < 2 || len(f) > 4:
			return nil, fmt.Errorf("cannot read what lssrc prints: %.120q is not a subsystem", line)
		}
		s := Subsystem{Name: f[0], Status: f[len(f)-1]}
		middle := f[1 : len(f)-1]
		if n := len(middle); n > 0 {
			if pid, err := strconv.Atoi(middle[n-1]); err == nil && pid > 0 {
				s.PID, middle = pid, middle[:n-1]
			}
		}
		if len(middle) > 1 {
			return nil, fmt.Errorf("cannot read what lssrc prints: %.120q is not a subsystem", line)
		}
		s.Group = strings.Join(middle, "")
		out = append(out, s)
	}
	if !heading {
		return nil, errors.New("cannot read what lssrc prints: it has no heading")
	}
	return out, nil
}

// Program is the program as the process calls it, or its name where that is no path.
func (p Psinfo) Program() string {
	if first := firstWord(p.Args); strings.HasPrefix(first, "/") {
		return first
	}
	return p.Name
}

// Runs reports whether the process runs one of the programs. AIX does not tell which
// file a process was started from. A process matches if the name that the kernel
// keeps, the last component of its path, is that of the program; where the process
// calls itself by an absolute path of that name, the path must lead to the program
// too. Weaker than on Linux: two programs of one name in different folders are
// told apart only if they call themselves by their paths.
func (p Psinfo) Runs(programs ...string) (bool, error) {
	called := firstWord(p.Args)
	for _, program := range programs {
		name := filepath.Base(program)
		if called == program {
			return true, nil
		}
		if p.Name != name && !(len(p.Name) >= psNameMax && strings.HasPrefix(name, p.Name)) {
			continue
		}
		if !strings.HasPrefix(called, "/") || filepath.Base(called) != name || len(p.Args) >= psArgsEnd-psArgs-1 && called == p.Args {
			return true, nil
		}
		real, err := filepath.EvalSymlinks(called)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("cannot tell whether process %d runs %s: %w", p.PID, program, err)
		}
		if err != nil || real == program { // a program that was replaced on disk still runs
			return true, nil
		}
	}
	return false, nil
}

// psNameMax is the length from which a name in psinfo may be the beginning of one.
const psNameMax = psArgs - psName - 1

func firstWord(s string) string {
	first, _, _ := strings.Cut(s, " ")
	return first
}
