package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kindRoles are the parts that the servers of a kind play (guide, "DCE in an HACMP
// Environment" and "DFS in an HACMP Environment"). A kind that is not here has none.
var kindRoles = map[Kind][]string{
	KindDCEServer: {"rpc", "security", "cds", "dts"},
	KindDFSServer: {"scm", "fldb", "file-server", "client"},
}

// replicated are the roles that exist as one master and read-only replicas.
var replicated = []string{"security", "cds"}

// versionSyntax is a version that can be compared as numbers.
var versionSyntax = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

// nature reads what an application is, apart from how it is started and stopped.
func (b *builder) nature(f *fileApplication, a *Application, what string) {
	if f.Kind.ok() && f.Kind.v != "" {
		a.Kind = word(b, &f.Kind, KindOther, what+": kind", KindDCEServer, KindDCEClient, KindDCEUser, KindDFSServer, KindDFSClient, KindDFSUser)
	}
	a.RPCInterfaces = b.variables(&f.RPCInterfaces, what+": rpc_interfaces")
	a.Ports = b.ports(&f.Ports, what)
	a.Mounts = b.paths(&f.Mounts, what+": mounts")
	a.LocalPaths = b.paths(&f.LocalPaths, what+": local_paths")
	a.Configured = b.paths(&f.Configured, what+": configured")
	a.RebootToRelease = f.RebootToRelease.or(false)
	a.Notice = f.Notice.or("")
	if strings.ContainsFunc(a.Notice, unprintable) {
		b.add(ruleNotice, f.Notice.line, "write it on one line, without control characters", "%s: notice %s does not fit on a line", what, quote(a.Notice))
	}
	for i := range f.Requirements {
		a.Requirements = append(a.Requirements, b.requirement(&f.Requirements[i], a.Requirements, what))
	}
	if !f.Kind.bad {
		b.roles(f, a, what)
	}
}

// roles checks the roles against those of the kind.
func (b *builder) roles(f *fileApplication, a *Application, what string) {
	known := kindRoles[a.Kind]
	for _, e := range f.Roles.v {
		switch {
		case f.Roles.bad:
		case len(known) == 0:
			b.add(ruleRole, e.line, `write kind = "dce-server" or "dfs-server", or take it out`, "%s: role %s, but an application of this kind has none", what, quote(e.text))
		case !slices.Contains(known, e.text):
			b.add(ruleRole, e.line, "the guide covers "+strings.Join(known, ", "), "%s: role %s is none of a %s", what, quote(e.text), a.Kind)
		case slices.Contains(a.Roles, e.text):
			b.add(ruleRole, e.line, "name it once", "%s: role %s is listed twice", what, e.text)
		default:
			a.Roles = append(a.Roles, e.text)
		}
	}
	for _, e := range f.Replicas.v {
		switch {
		case f.Replicas.bad || f.Roles.bad:
		case !slices.Contains(a.Roles, e.text):
			b.add(ruleRole, e.line, "name a role that roles has", "%s: replica %s is not one of its roles", what, quote(e.text))
		case !slices.Contains(replicated, e.text):
			b.add(ruleRole, e.line, "read-only copies are of "+strings.Join(replicated, ", "), "%s: there is no replica of %s", what, e.text)
		case slices.Contains(a.Replicas, e.text):
			b.add(ruleRole, e.line, "name it once", "%s: replica %s is listed twice", what, e.text)
		default:
			a.Replicas = append(a.Replicas, e.text)
		}
	}
}

// probes are probe, which has no name, and then those of probes.
func (b *builder) probes(f *fileApplication, what string) []Probe {
	var out []Probe
	if argv := b.command(&f.Probe, what+": probe"); argv != nil {
		out = append(out, Probe{Command: argv})
	}
	for i := range f.Probes {
		p := &f.Probes[i]
		if p.bad {
			continue
		}
		name := p.Name.or("")
		if b.required(p.Name.set, p.line, what+": probe", "name", `"NAME"`) && p.Name.ok() && b.name(name, p.Name.line, what+": probe") &&
			slices.ContainsFunc(out, func(o Probe) bool { return o.Name == name }) {
			b.add(ruleProbeTwice, p.Name.line, "give each its own", "%s: two probes are named %s", what, name)
		}
		what := titled(what, "probe", name)
		b.required(p.Command.set, p.line, what, "command", `["/path/of/program"]`)
		out = append(out, Probe{Name: name, Command: b.command(&p.Command, what+": command")})
	}
	return out
}

func (b *builder) requirement(f *fileRequirement, before []Requirement, what string) Requirement {
	r := Requirement{Name: f.Name.or(""), AtLeast: f.AtLeast.or("")}
	if f.bad {
		return r
	}
	if b.required(f.Name.set, f.line, what+": requirement", "name", `"DCE"`) && f.Name.ok() {
		switch {
		case r.Name == "" || strings.ContainsFunc(r.Name, unprintable):
			b.add(ruleName, f.Name.line, "write what people call it", "%s: requirement %s is not a name", what, quote(r.Name))
		case slices.ContainsFunc(before, func(o Requirement) bool { return o.Name == r.Name }):
			b.add(ruleRequirement, f.Name.line, "state it once", "%s: two requirements are named %s", what, r.Name)
		}
	}
	what = titled(what, "requirement", r.Name)
	b.required(f.Command.set, f.line, what, "command", `["/usr/bin/program", "--version"]`)
	r.Command = b.command(&f.Command, what+": command")
	if b.required(f.AtLeast.set, f.line, what, "at_least", `"3.1"`) && f.AtLeast.ok() && !versionSyntax.MatchString(r.AtLeast) {
		b.add(ruleRequirement, f.AtLeast.line, `write numbers with dots: "3.1"`, "%s: at_least %s is not a version", what, quote(r.AtLeast))
	}
	return r
}

// ports reads "135/tcp".
func (b *builder) ports(v *val[[]element], what string) []Port {
	var out []Port
	for _, e := range v.v {
		if v.bad {
			break
		}
		number, protocol, _ := strings.Cut(e.text, "/")
		n, err := strconv.ParseUint(number, 10, 16)
		p := Port{Protocol: protocol, Number: uint16(n)}
		switch {
		case err != nil || n == 0 || protocol != "tcp" && protocol != "udp":
			b.add(rulePort, e.line, `write NUMBER/tcp or NUMBER/udp: "135/tcp"`, "%s: port %s", what, quote(e.text))
		case slices.Contains(out, p):
			b.add(rulePort, e.line, "name it once", "%s: port %s is listed twice", what, e.text)
		default:
			out = append(out, p)
		}
	}
	return out
}

// String is the port as the file writes it.
func (p Port) String() string { return strconv.Itoa(int(p.Number)) + "/" + p.Protocol }

// paths reads a list of absolute paths.
func (b *builder) paths(v *val[[]element], what string) []string {
	var out []string
	for _, e := range v.v {
		if !v.bad && b.cleanPath(e.text, e.line, what) {
			out = append(out, e.text)
		}
	}
	return out
}

// variables reads a list of names for the environment.
func (b *builder) variables(v *val[[]element], what string) []string {
	var out []string
	for _, e := range v.v {
		switch {
		case v.bad:
		case !envSyntax.MatchString(e.text):
			b.add(ruleEnvironment, e.line, "use letters, digits and '_'", "%s: %s is not a name", what, quote(e.text))
		case e.text == netaddrsVariable || slices.Contains(out, e.text):
			b.add(ruleEnvironment, e.line, "name it once, and other than "+netaddrsVariable, "%s: %s is listed twice, or carries addresses", what, e.text)
		default:
			out = append(out, e.text)
		}
	}
	return out
}

// netaddrsVariable carries the addresses that RPC servers must keep off.
const netaddrsVariable = "RPC_UNSUPPORTED_NETADDRS"
