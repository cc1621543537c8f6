package config

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// filler places a decoded document into the file structs. The decoder could do
// that itself, but it stops at the first value of a wrong type, matches keys
// without regard to case (so that of ttl and TTL the last one wins), takes ttl =
// 10 for ten nanoseconds, and keeps no lines.
type filler struct{ *report }

// fill places data into a struct or one of the vals. The path is the key as a
// person would write it.
func (f *filler) fill(to reflect.Value, data any, at *place, path string) {
	switch to := to.Addr().Interface().(type) {
	case *val[string]:
		simple(f, to, data, at, path, "a string")
	case *val[bool]:
		simple(f, to, data, at, path, "true or false")
	case *val[int64]:
		simple(f, to, data, at, path, "an integer")
	case *val[time.Duration]:
		f.duration(to, data, at, path)
	case *val[[]element]:
		f.list(to, data, at, path)
	case *val[[]pair]:
		to.v, to.bad = f.pairs(data, at, path, false)
		to.set, to.line = true, at.line
	case *val[options]:
		to.v, to.bad = f.pairs(data, at, path, true)
		to.set, to.line = true, at.line
	case *val[adapters]:
		to.v, to.bad = f.adapters(data, at, path)
		to.set, to.line = true, at.line
	default:
		f.structure(reflect.ValueOf(to).Elem(), data, at, path)
	}
}

// mistyped notes that a value has another type than its key.
func (f *filler) mistyped(data any, at *place, path, want string) {
	f.add(ruleType, at.line, "write "+want, "%s is %s, not %s", path, kind(data), want)
}

func simple[T any](f *filler, to *val[T], data any, at *place, path, want string) {
	v, ok := data.(T)
	if !ok {
		f.mistyped(data, at, path, want)
	}
	*to = val[T]{v: v, set: true, bad: !ok, line: at.line}
}

func (f *filler) duration(to *val[time.Duration], data any, at *place, path string) {
	*to = val[time.Duration]{set: true, bad: true, line: at.line}
	text, ok := data.(string)
	if !ok {
		if n, isInt := data.(int64); isInt {
			f.add(ruleDuration, at.line, `write a string with a unit: "`+strconv.FormatInt(n, 10)+`s"`,
				"%s is the bare number %d", path, n)
			return
		}
		f.mistyped(data, at, path, `a duration such as "5s"`)
		return
	}
	d, err := time.ParseDuration(text)
	if err != nil || strings.Trim(text, "+-0123456789.") == "" { // "0" parses, and has no unit
		f.add(ruleDuration, at.line, `write a number with a unit: "200ms", "5s", "10m"`, "%s %q is not a duration", path, text)
		return
	}
	if d < 0 {
		f.add(ruleDuration, at.line, "write a positive duration", "%s %q is negative", path, text)
		return
	}
	to.v, to.bad = d, false
}

func (f *filler) list(to *val[[]element], data any, at *place, path string) {
	*to = val[[]element]{set: true, line: at.line}
	list, ok := data.([]any)
	if !ok {
		f.mistyped(data, at, path, `a list of strings such as ["a", "b"]`)
		to.bad = true
		return
	}
	for i, e := range list {
		text, ok := e.(string)
		if !ok {
			f.mistyped(e, at.item(i), path+"["+strconv.Itoa(i)+"]", "a string")
			to.bad = true
		}
		to.v = append(to.v, element{text, at.item(i).line})
	}
}

// pairs reads a table with free keys, in the order of the file.
func (f *filler) pairs(data any, at *place, path string, lenient bool) (out []pair, bad bool) {
	m, ok := data.(map[string]any)
	if !ok {
		f.mistyped(data, at, path, "a table of strings")
		return nil, true
	}
	for _, key := range ordered(m, at) {
		where := at.key(key)
		p := pair{key: key, line: where.line}
		switch v := m[key].(type) {
		case string:
			p.value = v
		case int64:
			p.value, ok = strconv.FormatInt(v, 10), lenient
		case bool:
			p.value, ok = strconv.FormatBool(v), lenient
		default:
			ok = false
		}
		if !ok {
			f.mistyped(m[key], where, path+"."+bare(key), "a string")
			bad, ok = true, true
			continue
		}
		out = append(out, p)
	}
	return out, bad
}

// adapters reads a table with free keys whose values are strings or lists of them.
func (f *filler) adapters(data any, at *place, path string) (out adapters, bad bool) {
	m, ok := data.(map[string]any)
	if !ok {
		f.mistyped(data, at, path, "a table of strings")
		return nil, true
	}
	for _, key := range ordered(m, at) {
		where := at.key(key)
		switch v := m[key].(type) {
		case string:
			out = append(out, pair{key, v, where.line})
		case []any:
			if len(v) == 0 {
				f.add(ruleRequired, where.line, `write an address, or one for each adapter: ["192.0.2.1/24", "198.51.100.1/24"]`, "%s is an empty list", path+"."+bare(key))
				bad = true
			}
			for i, e := range v {
				text, ok := e.(string)
				if !ok {
					f.mistyped(e, where.item(i), path+"."+bare(key)+"["+strconv.Itoa(i)+"]", "a string")
					bad = true
					continue
				}
				out = append(out, pair{key, text, where.item(i).line})
			}
		default:
			f.mistyped(v, where, path+"."+bare(key), "a string, or a list of strings")
			bad = true
		}
	}
	return out, bad
}

// structure fills a table.
func (f *filler) structure(to reflect.Value, data any, at *place, path string) {
	t := to.Addr().Interface().(tabler).head()
	m, ok := data.(map[string]any)
	*t = table{set: true, bad: !ok, line: at.line}
	if !ok {
		f.mistyped(data, at, path, "a table")
		return
	}
	keys := keysOf(to.Type())
	for _, name := range ordered(m, at) {
		i, known := slices.BinarySearchFunc(keys, name, func(k fileKey, n string) int { return cmp.Compare(k.name, n) })
		where := at.key(name)
		full := join(path, name)
		if !known {
			f.add(ruleUnknownKey, where.line, didYouMean(keys, name), "unknown key %s", full)
			continue
		}
		ok := true
		switch field := to.FieldByIndex(keys[i].field); {
		case keys[i].named:
			ok = f.named(field, m[name], where, full)
		case keys[i].orOne && isTable(m[name]):
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
			f.structure(field.Index(0), m[name], where, full)
		case field.Kind() == reflect.Slice:
			ok = f.tables(field, m[name], where, full)
		default:
			f.fill(field, m[name], where, full)
		}
		if !ok {
			t.badKeys = append(t.badKeys, name)
		}
	}
}

func isTable(data any) bool {
	_, ok := data.(map[string]any)
	return ok
}

// tables fills a slice from an array of tables, written with [[ ]] or inline. It
// is false if data is something else.
func (f *filler) tables(to reflect.Value, data any, at *place, path string) bool {
	var list []any
	switch data := data.(type) {
	case []map[string]any:
		for _, m := range data {
			list = append(list, m)
		}
	case []any:
		list = data
	default:
		f.mistyped(data, at, path, "a list of tables")
		return false
	}
	to.Set(reflect.MakeSlice(to.Type(), len(list), len(list)))
	for i, e := range list {
		f.structure(to.Index(i), e, at.item(i), path+"["+strconv.Itoa(i)+"]")
	}
	return true
}

// named fills a slice from a table of tables, in the order of the file. It is
// false if data is something else.
func (f *filler) named(to reflect.Value, data any, at *place, path string) bool {
	m, ok := data.(map[string]any)
	if !ok {
		f.mistyped(data, at, path, "a table of tables, ["+path+".NAME]")
		return false
	}
	names := ordered(m, at)
	to.Set(reflect.MakeSlice(to.Type(), len(names), len(names)))
	for i, name := range names {
		f.structure(to.Index(i), m[name], at.key(name), join(path, name))
		to.Index(i).Addr().Interface().(tabler).head().name = name
	}
	return true
}

// ordered returns the keys of a table in the order of the file.
func ordered(m map[string]any, at *place) []string {
	out := make([]string, 0, len(m))
	for _, name := range at.order {
		if _, ok := m[name]; ok {
			out = append(out, name)
		}
	}
	if len(out) < len(m) { // the index does not know them all: never drop a key
		for name := range m {
			if at.keys[name] == nil {
				out = append(out, name)
			}
		}
		slices.Sort(out)
	}
	return out
}

func join(path, name string) string {
	if path == "" {
		return bare(name)
	}
	return path + "." + bare(name)
}

// bare is a key as the file writes it: quoted only where it must be.
func bare(key string) string {
	if key != "" && strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == "" {
		return key
	}
	return quote(key)
}

// kind is a decoded value's type in words.
func kind(data any) string {
	switch data.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case time.Time:
		return "a time"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "an array of tables"
	}
	return "a list"
}
