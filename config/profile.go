package config

import (
	"embed"
	"fmt"
	"maps"
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
		app := readProfile(r, data)
		if len(r.findings) > 0 {
			panic(fmt.Sprintf("profile: %v", r.findings))
		}
		all[strings.TrimSuffix(e.Name(), ".toml")] = app
	}
	return all
}()

// readProfile reads the keys of one application and checks each for itself. What
// is wrong is in the report.
func readProfile(r *report, data []byte) *fileApplication {
	app := &fileApplication{}
	doc, at, ok := document(r, data)
	if !ok {
		return app
	}
	(&filler{r}).fill(reflect.ValueOf(app).Elem(), doc, at, "")
	for _, k := range []struct {
		name string
		v    *val[string]
	}{{"name", &app.Name}, {"profile", &app.Profile}} {
		if k.v.set {
			r.add(ruleProfile, k.v.line, "take it out: the file that uses the profile says that", "a profile has no %s", k.name)
		}
	}
	alone := *app // checking marks what is bad, and that is not to be inherited
	b := &builder{report: r}
	b.values(&alone, "profile")
	for i := range alone.Purge {
		b.purgePath(&alone.Purge[i], "profile")
	}
	return app
}

// Profiles returns the names of the profiles, sorted.
func Profiles() []string {
	var names []string
	for name := range profiles {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// profile finds a profile by name: one of the user's own before an embedded one.
// It is nil if there is none, or if what is wrong with it stands in a finding.
func (b *builder) profile(name string) (p *fileApplication, known bool) {
	if p, seen := b.used[name]; seen {
		return p, true
	}
	own, isOwn := b.own[name]
	if !isOwn {
		p, known = profiles[name]
		return p, known
	}
	r := &report{file: own.File}
	p = readProfile(r, own.Data)
	b.findings = append(b.findings, r.findings...)
	if len(r.findings.errors()) > 0 {
		p = nil
	}
	b.used[name] = p
	return p, true
}

// profileNames are those that the file may name.
func (b *builder) profileNames() []string {
	names := slices.Concat(Profiles(), slices.Collect(maps.Keys(b.own)))
	slices.Sort(names)
	return slices.Compact(names)
}

// applyProfile fills in what the file leaves out. Findings about such a key point
// at the line that names the profile.
func (b *builder) applyProfile(f *fileApplication, what string) {
	if !f.Profile.ok() || f.Profile.v == "" {
		return
	}
	p, known := b.profile(f.Profile.v)
	if !known {
		b.add(ruleProfile, f.Profile.line, "known: "+strings.Join(b.profileNames(), ", "), "%s: no profile is named %s", what, quote(f.Profile.v))
	}
	if p == nil {
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
	inherit(&f.Environment, p.Environment, line)
	inherit(&f.RPCExclude, p.RPCExclude, line)
	inherit(&f.RPCInterfaces, p.RPCInterfaces, line)
	inherit(&f.Kind, p.Kind, line)
	inherit(&f.Roles, p.Roles, line)
	inherit(&f.Replicas, p.Replicas, line)
	inherit(&f.Ports, p.Ports, line)
	inherit(&f.Mounts, p.Mounts, line)
	inherit(&f.LocalPaths, p.LocalPaths, line)
	inherit(&f.RebootToRelease, p.RebootToRelease, line)
	inherit(&f.Notice, p.Notice, line)
	inherit(&f.Configured, p.Configured, line)
	if f.Daemons == nil {
		for _, d := range p.Daemons {
			d.line, d.Name.line, d.Exe.line, d.PIDFile.line, d.Match.line, d.Optional.line = line, line, line, line, line, line
			f.Daemons = append(f.Daemons, d)
		}
	}
	if f.Purge == nil {
		for _, d := range p.Purge {
			d.line, d.Path.line, d.Tree.line = line, line, line
			f.Purge = append(f.Purge, d)
		}
	}
	if f.Probes == nil {
		for _, d := range p.Probes {
			d.line, d.Name.line = line, line
			moveTo(&d.Command, line)
			f.Probes = append(f.Probes, d)
		}
	}
	if f.Probe.set || len(f.Probes) > 0 {
		inherit(&f.ProbeInterval, p.ProbeInterval, line)
		inherit(&f.ProbeFailures, p.ProbeFailures, line)
		inherit(&f.ProbeOf, p.ProbeOf, line)
	}
	if f.Requirements == nil {
		for _, d := range p.Requirements {
			d.line, d.Name.line, d.AtLeast.line = line, line, line
			moveTo(&d.Command, line)
			f.Requirements = append(f.Requirements, d)
		}
	}
}

// inherit takes a value over if the file has none.
func inherit[T any](to *val[T], from val[T], line int) {
	if to.set || !from.set {
		return
	}
	*to = from
	moveTo(to, line)
}

// moveTo gives a value the line that named the profile it comes from.
func moveTo[T any](v *val[T], line int) {
	v.line = line
	switch list := any(&v.v).(type) {
	case *[]element:
		*list = slices.Clone(*list)
		for i := range *list {
			(*list)[i].line = line
		}
	case *[]pair:
		*list = slices.Clone(*list)
		for i := range *list {
			(*list)[i].line = line
		}
	}
}
