//go:build linux

package lab

import (
	"fmt"
	"strings"
	"time"
)

// sent is a line that a writer sent: an operation on the log.
type sent struct {
	line     string // unique in the run, with its end
	at       int64  // CLOCK_MONOTONIC, not later than its sending
	answered int64  // CLOCK_MONOTONIC, not earlier than its answer; 0: it has none
	place    int64  // that was answered
}

// History is what the check of a log found.
type History struct {
	Sent     int      // lines that were sent
	Answered int      // of them, those that were answered
	Lines    int      // of the file
	Torn     int      // lines of the file that a crash cut short, of what was not answered
	Wrong    []string // what breaks a promise, a sentence each; the first few
	Broken   int      // how many those are
}

func (h *History) wrong(format string, args ...any) {
	h.Broken++
	if len(h.Wrong) < 20 {
		h.Wrong = append(h.Wrong, fmt.Sprintf(format, args...))
	}
}

// checkLog decides whether a history of a log is linearizable (Herlihy and Wing,
// 1990): whether all appends can be put in one order, each at one moment between
// its sending and its answer, in which every answer is right and which ends in
// the file that was read. Appends without an answer may have happened, at any
// moment after their sending, or not.
//
// In general this is a search, for which tools like porcupine are made. Here it
// is none. No line is sent twice, and the file that is read at the end holds all
// lines in order; so there is at most one order to try, which is that of the
// file. It is a right one if and only if:
//
//  1. every line of the file was sent, and is there once: otherwise something is
//     in the file that nobody appended;
//  2. every line that was answered is in the file;
//  3. it is at the place that its answer said: the answer of an append, run after
//     all that stand before it, is their length;
//  4. no line stands before one that was answered before it was sent. If none
//     does, moments can be chosen: give each line the latest sending among it and
//     those before it in the file, which is not later than its answer, and break
//     ties by the file. If one does, no choice of moments is in the file's order.
//
// For 4 it is enough to go through the file once and to keep the latest sending
// so far: a line that was answered before that is later in the file than one that
// was sent after its answer.
//
// Every writer waits for an answer, or gives up, before it sends its next line; so
// 4 is also the order of each writer's own lines. A record counts a sending too
// early or an answer too late by what writing it takes, never the other way about:
// so a wrong order within that time could be missed, a right one is never called
// wrong. The clock is one: all hosts of a lab share a kernel.
//
// A crash may leave the beginning of a line that was not answered. The application
// ends it at its next start: it stands for itself, as [History.Torn].
func checkLog(file string, writers [][]sent) History {
	h := History{}
	known := make(map[string]*sent)
	for _, w := range writers {
		for i := range w {
			h.Sent++
			if w[i].answered != 0 {
				h.Answered++
			}
			known[w[i].line] = &w[i]
		}
	}
	seen := make(map[string]bool, len(known))
	latest, of := int64(0), ""
	place := int64(0)
	for line := range strings.Lines(file) {
		at := place
		place += int64(len(line))
		h.Lines++
		s := known[line]
		if s == nil {
			if torn(line, known) {
				h.Torn++
			} else {
				h.wrong("nobody sent %q, which is at %d", line, at)
			}
			continue
		}
		if seen[line] {
			h.wrong("%q is there twice, the second time at %d", line, at)
		}
		seen[line] = true
		if s.answered != 0 && s.place != at {
			h.wrong("%q is at %d, and its answer said %d", line, at, s.place)
		}
		if s.answered != 0 && s.answered < latest {
			h.wrong("%q was answered %s before %q was sent, and is behind it", line, time.Duration(latest-s.answered), of)
		}
		if s.at > latest {
			latest, of = s.at, line
		}
	}
	for _, w := range writers {
		for _, s := range w {
			if s.answered != 0 && !seen[s.line] {
				h.wrong("%q was answered at %s and is lost", s.line, time.Duration(s.answered))
			}
		}
	}
	return h
}

// torn reports whether a line is the beginning of one that was sent and not
// answered, ended by a newline of the application.
func torn(line string, known map[string]*sent) bool {
	part := strings.TrimSuffix(line, "\n")
	for text, s := range known {
		if s.answered == 0 && part != "" && strings.HasPrefix(text, part) {
			return true
		}
	}
	return false
}
