package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// ProfileFile is a profile of the user's own, by its content: a file NAME.toml in
// the folder profiles beside the configuration.
type ProfileFile struct {
	File string // for findings in it
	Data []byte
}

// Parse turns the bytes of a file into a checked Config. The name is only for
// messages. The error is of type [Findings] and holds everything that is wrong;
// warnings do not make Parse fail, see [Check].
func Parse(name string, data []byte) (*Config, error) { return ParseWith(name, data, nil) }

// ParseWith is Parse with the user's own profiles, by name. One of them stands in
// for the embedded profile of the same name.
func ParseWith(name string, data []byte, own map[string]ProfileFile) (*Config, error) {
	c, findings := CheckWith(name, data, own)
	if errs := Findings(findings).errors(); len(errs) > 0 {
		return nil, errs
	}
	return c, nil
}

// Check is Parse with the warnings. The Config is nil if one of the findings is
// an error.
func Check(name string, data []byte) (*Config, []Finding) { return CheckWith(name, data, nil) }

// CheckWith is ParseWith with the warnings.
func CheckWith(name string, data []byte, own map[string]ProfileFile) (*Config, []Finding) {
	r := &report{file: name}
	file, ok := decode(r, data)
	if !ok {
		return nil, r.sorted()
	}
	b := &builder{report: r, file: file, config: &Config{}, own: own, used: make(map[string]*fileApplication)}
	b.cluster()
	b.lease()
	b.keepalive()
	b.watchdog()
	b.machines()
	b.groups()
	b.watchdogStops()
	b.services()
	b.hooks()
	b.configurations()
	b.table()
	b.lint()
	b.sum(data)
	findings := r.sorted()
	if len(findings.errors()) > 0 {
		return nil, findings
	}
	return b.config, findings
}

// sum makes the hash of the file and of every profile of the user's own that it
// uses.
func (b *builder) sum(data []byte) {
	h := sha256.New()
	h.Write(data)
	for _, name := range slices.Sorted(maps.Keys(b.used)) {
		b.config.ProfileFiles = append(b.config.ProfileFiles, b.own[name].File)
		fmt.Fprintf(h, "\x00%s\x00%d\x00", name, len(b.own[name].Data))
		h.Write(b.own[name].Data)
	}
	b.config.Hash = hex.EncodeToString(h.Sum(nil))
}

// builder turns the file structs into a Config, rule by rule.
type builder struct {
	*report
	file   *fileConfig
	config *Config

	hookFiles []*fileHook // of the hooks of config

	own  map[string]ProfileFile      // the user's own profiles, by name
	used map[string]*fileApplication // those of them that the file names; nil: it cannot be used
}

// decode reads TOML into the file structs. It is false if there is no document.
func decode(r *report, data []byte) (*fileConfig, bool) {
	file := &fileConfig{}
	doc, at, ok := document(r, data)
	if !ok {
		return nil, false
	}
	(&filler{r}).fill(reflect.ValueOf(file).Elem(), doc, at, "")
	return file, true
}

// document reads any TOML and finds the line of every key in it.
func document(r *report, data []byte) (doc map[string]any, at *place, ok bool) {
	if len(data) > maxFileSize {
		r.add(ruleSyntax, 1, "name fewer groups, or take comments out", "the file has %d bytes, more than %d", len(data), maxFileSize)
		return nil, nil, false
	}
	at, deep := index(data)
	if deep > 0 { // the decoder recurses, and a stack that overflows cannot be recovered
		r.add(ruleSyntax, deep, "the file needs five levels", "more than %d levels of brackets or dots", maxDepth)
		return nil, nil, false
	}
	if err := unmarshal(data, &doc); err != nil {
		if pe, isParse := errors.AsType[toml.ParseError](err); isParse {
			r.add(ruleSyntax, pe.Position.Line, "see https://toml.io", "%s", oneLine(pe.Message))
		} else {
			r.add(ruleSyntax, 1, "see https://toml.io", "%s", oneLine(err.Error()))
		}
		return nil, nil, false
	}
	return doc, at, true
}

// unmarshal is toml.Unmarshal with its panics as errors: it panics with "BUG" at
// input that it did not foresee, and a root daemon must not die of a file.
func unmarshal(data []byte, doc *map[string]any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the decoder gave up: %v", p)
		}
	}()
	return toml.Unmarshal(data, doc)
}

// oneLine makes foreign text fit into a finding.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(s, "toml: ")), " ")
}

// required notes that a key without a default is missing.
func (b *builder) required(v bool, line int, what, key, example string) bool {
	if !v {
		b.add(ruleRequired, line, "write "+key+" = "+example, "%s has no %s", what, key)
	}
	return v
}

// within returns a duration, or its default if it is not given or out of range.
func (b *builder) within(v *val[time.Duration], def time.Duration, r span, what string) time.Duration {
	d := v.or(def)
	if d < r.least || d > r.most {
		b.add(ruleRange, v.line, fmt.Sprintf("write a duration from %s to %s", short(r.least), short(r.most)),
			"%s is %s", what, short(d))
		v.bad = true
		return def
	}
	return d
}

// number is within for integers.
func (b *builder) number(v *val[int64], def, least, most int64, what string) int64 {
	n := v.or(def)
	if n < least || n > most {
		b.add(ruleRange, v.line, fmt.Sprintf("write a number from %d to %d", least, most), "%s is %d", what, n)
		v.bad = true
		return def
	}
	return n
}

// word returns one of a closed set of words.
func word[T ~string](b *builder, v *val[string], def T, what string, known ...T) T {
	w := T(v.or(string(def)))
	if slices.Contains(known, w) {
		return w
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	b.add(ruleWord, v.line, "known: "+strings.Join(names, ", "), "%s is %q", what, string(w))
	v.bad = true
	return def
}

// short prints a duration without zero parts: 1m, not 1m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
