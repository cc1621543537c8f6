package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

func (b *builder) application(f *fileApplication, g *Group, what string) Application {
	a := Application{Profile: f.Profile.or(""), Line: f.line}
	if f.bad {
		return a
	}
	b.applyProfile(f, what)
	a.Name = b.appName(f, g, what)
	what = titled(what, "application", a.Name)
	a.Run = b.command(&f.Run, what+": run")
	a.Start = b.command(&f.Start, what+": start")
	a.Stop = b.command(&f.Stop, what+": stop")
	if argv := b.command(&f.Probe, what+": probe"); argv != nil {
		a.Probes = []Probe{{Command: argv}}
	}
	a.StartLimit = b.within(&f.StartLimit, DefaultStartLimit, rangeLimit, what+": start_limit")
	a.StopLimit = b.within(&f.StopLimit, DefaultStopLimit, rangeLimit, what+": stop_limit")
	a.ProbeLimit = b.within(&f.ProbeLimit, DefaultProbeLimit, rangeLimit, what+": probe_limit")
	if f.Probe.set {
		a.ProbeInterval = b.within(&f.ProbeInterval, DefaultProbeInterval, rangeProbe, what+": probe_interval")
	} else if f.ProbeInterval.set {
		b.add(ruleProbe, f.ProbeInterval.line, "write probe = [...], or take it out", "%s: probe_interval is set, but there is no probe", what)
	}
	b.startAndStop(f, what)
	for i := range f.Daemons {
		a.Daemons = append(a.Daemons, b.daemon(&f.Daemons[i], a.Daemons, what))
	}
	if f.Run.set && len(a.Daemons) == 0 {
		a.Daemons = []Daemon{{Name: a.Name}}
	}
	a.Environment = b.environment(f, what)
	for i := range f.Purge {
		if p, ok := b.purge(&f.Purge[i], g, what); ok {
			a.Purge = append(a.Purge, p)
		}
	}
	a.RPCExclude = f.RPCExclude.or(false)
	return a
}

// appName is the declared name, or that of the profile.
func (b *builder) appName(f *fileApplication, g *Group, what string) string {
	name, line := f.Name.or(f.Profile.or("")), max(f.line, f.Name.line)
	if !b.required(f.Name.set || f.Profile.set, line, what+": application", "name", `"NAME"`) || f.Name.bad || name == "" && !f.Name.set {
		return name
	}
	if b.name(name, line, what+": application") && slices.ContainsFunc(g.Applications, func(a Application) bool { return a.Name == name }) {
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
	if f.Start.ok() && !run && f.lacks("daemons", len(f.Daemons)) {
		b.add(ruleStartNoDaemon, f.Start.line, `write daemons = [{ name = "NAME", exe = "/path/of/daemon" }]`,
			"%s: start has no daemons, so nothing would tell whether it runs", what)
	}
}

func (b *builder) daemon(f *fileDaemon, before []Daemon, what string) Daemon {
	d := Daemon{Name: f.Name.or(""), Exe: f.Exe.or(""), PIDFile: f.PIDFile.or(""), Match: f.Match.or("")}
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

// purge checks that a path lies strictly below a mount of the group, since only
// there is it shared storage that nobody else writes to.
func (b *builder) purge(f *filePurge, g *Group, what string) (Purge, bool) {
	p := Purge{Path: f.Path.or(""), Tree: f.Tree.or(false)}
	what += ": purge"
	if f.bad {
		return p, false
	}
	if !b.required(f.Path.set, f.line, what, "path", `"/srv/NAME/stale"`) || !f.Path.ok() {
		return p, false
	}
	if !b.cleanPath(p.Path, f.Path.line, what) {
		return p, false
	}
	inside, mount := false, false
	for _, fs := range g.Filesystems {
		inside = inside || fs.Mount != "" && below(p.Path, fs.Mount)
		mount = mount || p.Path == fs.Mount
	}
	if mount || !inside {
		b.add(rulePurge, f.Path.line, "add the file system that holds it, or write purge = [] to delete nothing",
			"%s %s is not strictly below a mount of the group", what, p.Path)
		return p, false
	}
	return p, true
}
