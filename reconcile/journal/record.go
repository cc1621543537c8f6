package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Kind says what a record is about.
type Kind string

// The kinds of record.
const (
	Seen    Kind = "seen"    // a look showed something new
	Decided Kind = "decided" // a role, a plan, or a block
	Started Kind = "started" // a step is about to run; written ahead of it
	Done    Kind = "done"    // a step ended and its postcondition was seen
	Failed  Kind = "failed"  // a step ended otherwise
	Note    Kind = "note"    // of the journal or the program itself
)

// Record is one thing that happened. Only Kind is required; the zero value of
// any other field means that it does not apply.
type Record struct {
	At     time.Time `json:"at"`      // wall clock, for people; zero: the time of the append
	Seq    uint64    `json:"seq"`     // grows by one with every record of a node; set by the journal
	BootID string    `json:"boot_id"` // "": that of Options
	Node   string    `json:"node"`    // "": that of Options
	Group  string    `json:"group,omitempty"`
	Kind   Kind      `json:"kind"`

	Role     string `json:"role,omitempty"`
	FromRole string `json:"from_role,omitempty"`
	Event    string `json:"event,omitempty"`
	Why      string `json:"why,omitempty"`  // the sentence
	Plan     string `json:"plan,omitempty"` // fingerprint of the plan

	Step string        `json:"step,omitempty"`
	N    int           `json:"n,omitempty"`  // the step's place in its plan, from 1
	Of   int           `json:"of,omitempty"` // steps of that plan
	Took time.Duration `json:"took_ns,omitempty"`
	Err  string        `json:"err,omitempty"`

	// Facts is whatever else explains the record: few and short.
	Facts map[string]string `json:"facts,omitempty"`
}

// PlanTook is the fact that the record of a plan's last step has: how long the
// whole plan took, as time.ParseDuration reads it.
const PlanTook = "plan_took"

// The bounds of a record. What is longer is cut, and says so: a program's output
// in Err must not fill the disk.
const (
	maxText      = 4 << 10 // bytes of one text
	maxFact      = 512     // bytes of one fact's value
	maxFactName  = 64
	maxFactCount = 32
	// maxLine is above what the bounds allow with every byte escaped. A longer
	// line is no record.
	maxLine = 512 << 10
	// maxSeq is the largest number that every reader of JSON gets right (RFC
	// 8259, section 6), and out of reach.
	maxSeq = 1 << 53
)

// castagnoli is CRC32C (RFC 3720, 12.1), which processors compute.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errLine = errors.New("not a record")

// seal is v as a line: eight hexadecimal digits of CRC32C, a blank, JSON, end of
// line.
func seal(v any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("00000000 ")
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // ends with the end of line
		return nil, err
	}
	line := b.Bytes()
	copy(line, fmt.Sprintf("%08x", crc32.Checksum(line[9:len(line)-1], castagnoli)))
	return line, nil
}

// unseal checks a line, with or without its end, and returns its JSON.
func unseal(line []byte) ([]byte, error) {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	if len(line) < 10 || line[8] != ' ' {
		return nil, errLine
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(line[9:], castagnoli) {
		return nil, errLine
	}
	return line[9:], nil
}

func encode(r Record) ([]byte, error) {
	for _, s := range []*string{
		&r.BootID, &r.Node, &r.Group, (*string)(&r.Kind), &r.Role, &r.FromRole,
		&r.Event, &r.Why, &r.Plan, &r.Step, &r.Err,
	} {
		*s = clip(*s, maxText)
	}
	if len(r.Facts) > 0 {
		facts := make(map[string]string, len(r.Facts))
		for i, k := range slices.Sorted(maps.Keys(r.Facts)) {
			if i == maxFactCount-1 && len(r.Facts) > maxFactCount {
				facts["…"] = fmt.Sprintf("%d more facts cut", len(r.Facts)-i)
				break
			}
			facts[clip(k, maxFactName)] = clip(r.Facts[k], maxFact)
		}
		r.Facts = facts
	}
	line, err := seal(r)
	if err != nil {
		return nil, fmt.Errorf("cannot encode a %q record: %w", r.Kind, err)
	}
	return line, nil
}

func decode(line []byte) (Record, error) {
	data, err := unseal(line)
	if err != nil {
		return Record{}, err
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil || r.Seq == 0 || r.Seq > maxSeq {
		return Record{}, errLine
	}
	return r, nil
}

// clip cuts s to at most limit bytes, at the start of a character, and says how
// much was cut.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	keep := limit - len(" … (12345678 bytes cut)")
	for keep > 0 && !utf8.RuneStart(s[keep]) {
		keep--
	}
	return fmt.Sprintf("%s … (%d bytes cut)", s[:keep], len(s)-keep)
}
