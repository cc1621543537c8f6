package config

import (
	"embed"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
)

// A profile is a file with the keys of one application. It fills in those keys
// that the user's file leaves out; a key that is given replaces the profile's as
// a whole.
//
//go:embed profiles/*.toml
var profileFiles embed.FS

// profiles holds every profile by name. A broken one is a mistake of the build.
var profiles = func() map[string]*fileApplication {
	entries, err := profileFiles.ReadDir("profiles")
	if err != nil {
		panic(err)
	}
	all := make(map[string]*fileApplication)
	for _, e := range entries {
		data, err := profileFiles.ReadFile(path.Join("profiles", e.Name()))
		if err != nil {
			panic(err)
		}
		r := &report{file: e.Name()}
		app := &fileApplication{}
		if doc, at, ok := document(r, data); ok {
			(&filler{r}).fill(reflect.ValueOf(app).Elem(), doc, at, "")
		}
		if len(r.findings) > 0 {
			panic(fmt.Sprintf("profile: %v", r.findings))
		}
		all[strings.TrimSuffix(e.Name(), ".toml")] = app
	}
	return all
}()

// Profiles returns the names of the profiles, sorted.
func Profiles() []string {
	var names []string
	for name := range profiles {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// applyProfile fills in what the file leaves out. Findings about such a key point
// at the line that names the profile.
func (b *builder) applyProfile(f *fileApplication, what string) {
	if !f.Profile.ok() || f.Profile.v == "" {
		return
	}
	p, known := profiles[f.Profile.v]
	if !known {
		b.add(ruleProfile, f.Profile.line, "known: "+strings.Join(Profiles(), ", "), "%s: no profile is named %s", what, quote(f.Profile.v))
		f.Profile.bad = true
		return
	}
	line := f.Profile.line
	inherit(&f.Run, p.Run, line)
	inherit(&f.Start, p.Start, line)
	inherit(&f.Stop, p.Stop, line)
	inherit(&f.Probe, p.Probe, line)
	inherit(&f.StartLimit, p.StartLimit, line)
	inherit(&f.StopLimit, p.StopLimit, line)
	inherit(&f.ProbeLimit, p.ProbeLimit, line)
	inherit(&f.ProbeInterval, p.ProbeInterval, line)
	inherit(&f.Environment, p.Environment, line)
	inherit(&f.RPCExclude, p.RPCExclude, line)
	if f.Daemons == nil {
		for _, d := range p.Daemons {
			d.line, d.Name.line, d.Exe.line, d.PIDFile.line, d.Match.line = line, line, line, line, line
			f.Daemons = append(f.Daemons, d)
		}
	}
	if f.Purge == nil {
		for _, d := range p.Purge {
			d.line, d.Path.line, d.Tree.line = line, line, line
			f.Purge = append(f.Purge, d)
		}
	}
}

func inherit[T any](to *val[T], from val[T], line int) {
	if !to.set && from.set {
		*to = from
		to.line = line
	}
}
