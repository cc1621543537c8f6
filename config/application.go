package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// application reads an application of a group.
func (b *builder) application(f *fileApplication, g *Group, what string) Application {
	if f.bad {
		return Application{Profile: f.Profile.or(""), Line: f.line}
	}
	b.applyProfile(f, what)
	names := make([]string, len(g.Applications))
	for i := range g.Applications {
		names[i] = g.Applications[i].Name
	}
	name := b.appName(f, names, what)
	what = titled(what, "application", name)
	a := b.values(f, what)
	a.Name = name
	b.startAndStop(f, what)
	if f.Run.set && len(a.Daemons) == 0 {
		a.Daemons = []Daemon{{Name: a.Name}}
	}
	for i := range f.Purge {
		if b.purgeInside(&f.Purge[i], g, what) {
			a.Purge = append(a.Purge, Purge{Path: f.Purge[i].Path.v, Tree: f.Purge[i].Tree.or(false)})
		}
	}
	return a
}

// values checks what an application's keys say, each for itself: what holds for
// those of a profile too. The name, and purge, depend on where it stands.
func (b *builder) values(f *fileApplication, what string) Application {
	a := Application{Profile: f.Profile.or(""), Line: f.line}
	a.Run = b.command(&f.Run, what+": run")
	a.Start = b.command(&f.Start, what+": start")
	a.Stop = b.command(&f.Stop, what+": stop")
	a.Probes = b.probes(f, what)
	a.StartLimit = b.within(&f.StartLimit, DefaultStartLimit, rangeLimit, what+": start_limit")
	a.StopLimit = b.within(&f.StopLimit, DefaultStopLimit, rangeLimit, what+": stop_limit")
	a.ProbeLimit = b.within(&f.ProbeLimit, DefaultProbeLimit, rangeLimit, what+": probe_limit")
	if f.Probe.set || len(f.Probes) > 0 {
		a.ProbeInterval = b.within(&f.ProbeInterval, DefaultProbeInterval, rangeProbe, what+": probe_interval")
		a.ProbeFailures = int(b.number(&f.ProbeFailures, DefaultProbeFailures, 1, mostProbes, what+": probe_failures"))
		a.ProbeOf = int(b.number(&f.ProbeOf, int64(a.ProbeFailures), int64(a.ProbeFailures), mostProbes, what+": probe_of"))
	}
	for i := range f.Daemons {
		a.Daemons = append(a.Daemons, b.daemon(&f.Daemons[i], a.Daemons, what))
	}
	a.Environment = b.environment(f, what)
	a.RPCExclude = f.RPCExclude.or(false)
	b.nature(f, &a, what)
	return a
}

// appName is the declared name, or that of the profile.
func (b *builder) appName(f *fileApplication, before []string, what string) string {
	name, line := f.Name.or(f.Profile.or("")), max(f.line, f.Name.line)
	if !b.required(f.Name.set || f.Profile.set, line, what+": application", "name", `"NAME"`) || f.Name.bad || name == "" && !f.Name.set {
		return name
	}
	if b.name(name, line, what+": application") && slices.Contains(before, name) {
		b.add(ruleAppTwice, line, "write name = ... to tell them apart", "%s: two applications are named %s", what, name)
	}
	return name
}

// startAndStop checks which of run, start and stop are given.
func (b *builder) startAndStop(f *fileApplication, what string) {
	run, start, stop := f.Run.set, f.Start.set, f.Stop.set
	if f.Profile.bad {
		return // what it would have given is unknown
	}
	switch {
	case run && start:
		b.add(ruleRunAndStart, max(f.Run.line, f.Start.line), "keep run for a program that stays in the foreground, else start",
			"%s: both run and start are set", what)
	case run && stop:
		b.add(ruleRunAndStop, f.Stop.line, "take it out: the program gets SIGTERM", "%s: stop is set beside run", what)
	case start && !stop:
		b.add(ruleStartNoStop, f.Start.line, "write stop = [...]", "%s: start has no stop", what)
	case stop && !start:
		b.add(ruleStartNoStop, f.Stop.line, "write start = [...]", "%s: stop has no start", what)
	case !run && !start:
		b.add(ruleNothingToStart, f.line, "write run = [...], or start and stop, or profile", "%s: there is nothing to start", what)
	}
	if run && len(f.Daemons) > 0 {
		b.add(ruleRunAndDaemon, f.Daemons[0].line, "take them out: the program that run starts is known", "%s: daemons are set beside run", what)
	}
	for _, k := range []struct {
		set  bool
		line int
		name string
	}{{f.ProbeInterval.set, f.ProbeInterval.line, "probe_interval"}, {f.ProbeFailures.set, f.ProbeFailures.line, "probe_failures"}, {f.ProbeOf.set, f.ProbeOf.line, "probe_of"}} {
		if k.set && !f.Probe.set && f.lacks("probes", len(f.Probes)) {
			b.add(ruleProbe, k.line, "write probe = [...], or take it out", "%s: %s is set, but there is no probe", what, k.name)
		}
	}
	if f.Start.ok() && !run && f.lacks("daemons", len(f.Daemons)) {
		b.add(ruleStartNoDaemon, f.Start.line, `write daemons = [{ name = "NAME", exe = "/path/of/daemon" }]`,
			"%s: start has no daemons, so nothing would tell whether it runs", what)
	}
	if n := len(f.Daemons); n > 0 && !slices.ContainsFunc(f.Daemons, func(d fileDaemon) bool { return d.bad || !d.Optional.or(false) }) {
		b.add(ruleStartNoDaemon, f.Daemons[n-1].Optional.line, "take optional out of one that is always there",
			"%s: all of its daemons are optional, so nothing would tell whether it runs", what)
	}
}

func (b *builder) daemon(f *fileDaemon, before []Daemon, what string) Daemon {
	d := Daemon{Name: f.Name.or(""), Exe: f.Exe.or(""), PIDFile: f.PIDFile.or(""), Match: f.Match.or(""), Optional: f.Optional.or(false)}
	if f.bad {
		return d
	}
	if b.required(f.Name.set, f.line, what+": daemon", "name", `"NAME"`) && f.Name.ok() &&
		b.name(d.Name, f.Name.line, what+": daemon") &&
		slices.ContainsFunc(before, func(o Daemon) bool { return o.Name == d.Name }) {
		b.add(ruleDaemonTwice, f.Name.line, "give each its own name", "%s: two daemons are named %s", what, d.Name)
	}
	what = titled(what, "daemon", d.Name)
	if d.Exe == "" && d.PIDFile == "" && d.Match == "" && !f.Exe.bad && !f.PIDFile.bad && !f.Match.bad {
		b.add(ruleDaemonHow, f.line, "write exe, pid_file or match", "%s: nothing says how it is recognised", what)
	}
	if d.Exe != "" {
		b.cleanPath(d.Exe, f.Exe.line, what+": exe")
	}
	if d.PIDFile != "" {
		b.cleanPath(d.PIDFile, f.PIDFile.line, what+": pid_file")
	}
	if _, err := regexp.Compile(d.Match); err != nil {
		b.add(ruleRegexp, f.Match.line, "see https://golang.org/s/re2syntax", "%s: match: %s", what, oneLine(err.Error()))
	}
	return d
}

func (b *builder) environment(f *fileApplication, what string) []Option {
	var env []Option
	for _, p := range f.Environment.v {
		switch {
		case !envSyntax.MatchString(p.key):
			b.add(ruleEnvironment, p.line, "use letters, digits and '_'", "%s: environment: %s is not a name", what, quote(p.key))
		case strings.ContainsRune(p.value, 0):
			b.add(ruleEnvironment, p.line, "take it out", "%s: environment: %s has a NUL", what, p.key)
		default:
			env = append(env, Option{Key: p.key, Value: p.value})
		}
	}
	slices.SortFunc(env, func(x, y Option) int { return cmp.Compare(x.Key, y.Key) })
	return env
}

// purgePath checks the path of a purge for itself.
func (b *builder) purgePath(f *filePurge, what string) bool {
	what += ": purge"
	return !f.bad && b.required(f.Path.set, f.line, what, "path", `"/srv/NAME/stale"`) && f.Path.ok() &&
		b.cleanPath(f.Path.v, f.Path.line, what)
}

// purgeInside checks that a path lies strictly below a mount of the group, since
// only there is it shared storage that nobody else writes to.
func (b *builder) purgeInside(f *filePurge, g *Group, what string) bool {
	if !b.purgePath(f, what) {
		return false
	}
	p, under := f.Path.v, Filesystem{}
	for _, fs := range g.Filesystems {
		if fs.Mount != "" && (p == fs.Mount || below(p, fs.Mount)) && len(fs.Mount) > len(under.Mount) {
			under = fs
		}
	}
	switch {
	case under.Mount == "" || p == under.Mount:
		b.add(rulePurge, f.Path.line, "add the file system that holds it, or write purge = [] to delete nothing",
			"%s: purge %s is not strictly below a mount of the group", what, p)
	case under.Local:
		b.add(rulePurge, f.Path.line, "take it out: no other node has left anything there",
			"%s: purge %s lies on %s, which is a local file system", what, p, under.Mount)
	default:
		return true
	}
	return false
}
