package config

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
)

// fileKey is one key of a table of the file.
type fileKey struct {
	name  string
	field []int // of the struct, and of the struct embedded in it
	named bool  // a table of tables with free names
	orOne bool  // a list of tables, or one table for a list of one
}

// fileKeys holds the keys of every struct of the file, sorted by name.
var fileKeys = func() map[reflect.Type][]fileKey {
	all := make(map[reflect.Type][]fileKey)
	learn(all, reflect.TypeFor[fileConfig]())
	return all
}()

func keysOf(t reflect.Type) []fileKey { return fileKeys[t] }

func learn(all map[reflect.Type][]fileKey, t reflect.Type) {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || all[t] != nil {
		return
	}
	if _, isTable := t.FieldByName("table"); !isTable {
		return // a val
	}
	var keys []fileKey
	for _, f := range reflect.VisibleFields(t) {
		name, option, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if name == "" {
			continue
		}
		keys = append(keys, fileKey{name: name, field: f.Index, named: option == "named", orOne: option == "or-one"})
		learn(all, f.Type)
	}
	slices.SortFunc(keys, func(a, b fileKey) int { return cmp.Compare(a.name, b.name) })
	all[t] = keys
}

// didYouMean is the way out for an unknown key.
func didYouMean(keys []fileKey, name string) string {
	var best []string
	least := 2 // a slip of two letters is still a slip
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
		if strings.EqualFold(k.name, name) {
			return "write " + k.name + ": keys are in lower case"
		}
		if d := distance(k.name, name); d < least {
			best, least = []string{k.name}, d
		} else if d == least {
			best = append(best, k.name)
		}
	}
	if len(best) > 0 {
		return "did you mean " + strings.Join(best, " or ") + "?"
	}
	return "known here: " + strings.Join(names, ", ")
}

// distance is the number of bytes to insert, delete or replace between two short
// words (Levenshtein), or a large number where a word is too long to be meant.
func distance(a, b string) int {
	if len(b) > 2*len(a)+8 {
		return len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
