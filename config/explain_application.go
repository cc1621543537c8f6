package config

import "strconv"

// application writes the keys of an application, under a header that is there.
func (p *printer) application(a *Application) {
	p.key("name", quote(a.Name), "of the application")
	if a.Profile != "" {
		p.key("profile", quote(a.Profile), "every key of it is spelled out below")
	}
	if a.Kind != KindOther || a.Profile != "" {
		p.key("kind", quote(string(a.Kind)), "what it is to DCE and DFS")
	}
	if a.Run != nil {
		p.key("run", list(a.Run), "stays in the foreground; ended by SIGTERM")
	}
	if a.Start != nil {
		p.key("start", list(a.Start), "returns when the work is done")
	}
	if a.Stop != nil {
		p.key("stop", list(a.Stop), "returns when the work is done")
	}
	p.span("start_limit", a.StartLimit, "after so long it has failed")
	p.span("stop_limit", a.StopLimit, "after so long signals follow")
	named := a.Probes
	if len(named) > 0 && named[0].Name == "" {
		p.key("probe", list(named[0].Command), "exits 0 when the service answers")
		named = named[1:]
	}
	p.key("probes", array(named, func(q Probe) string {
		return inline("name", quote(q.Name), "command", list(q.Command))
	}), "each exits 0 when what it is named for answers")
	if len(a.Probes) > 0 {
		p.span("probe_interval", a.ProbeInterval, `while serving; "0s": only after a start`)
		p.key("probe_failures", strconv.Itoa(a.ProbeFailures), "while serving, before it is bad")
		p.key("probe_of", strconv.Itoa(a.ProbeOf), "of so many of the latest probes")
	}
	p.span("probe_limit", a.ProbeLimit, "after so long a probe is bad")
	p.key("environment", optionTable(a.Environment), "added to a clean one")
	if a.Run == nil {
		p.key("daemons", array(a.Daemons, daemonTable), "how its processes are recognised")
	}
	p.key("purge", array(a.Purge, func(u Purge) string {
		return inline("path", quote(u.Path), "tree", strconv.FormatBool(u.Tree))
	}), "deleted from shared storage before every start")
	p.key("notice", quote(a.Notice), "told to people after a start in which files were deleted")
	p.key("rpc_exclude", strconv.FormatBool(a.RPCExclude), "keeps RPC servers off addresses that stay behind")
	p.key("rpc_interfaces", list(a.RPCInterfaces), "variables that keep them off links")
	p.surroundings(a)
}

// surroundings writes what an application is and needs, apart from how it is
// started and stopped.
func (p *printer) surroundings(a *Application) {
	if len(kindRoles[a.Kind]) > 0 || a.Profile != "" {
		p.key("roles", list(a.Roles), "of the servers")
		p.key("replicas", list(a.Replicas), "those that are read-only here")
	}
	ports := make([]string, len(a.Ports))
	for i, port := range a.Ports {
		ports[i] = port.String()
	}
	p.key("ports", list(ports), "bound by its daemons, free when it has stopped")
	p.key("mounts", list(a.Mounts), "on shared storage of its group, or it does not start")
	p.key("local_paths", list(a.LocalPaths), "not on shared storage of its group")
	p.key("configured", list(a.Configured), "one of them is there where it is configured")
	p.key("reboot_to_release", strconv.FormatBool(a.RebootToRelease), "true: it holds its disks until the node reboots")
	p.key("requirements", array(a.Requirements, func(r Requirement) string {
		return inline("name", quote(r.Name), "command", list(r.Command), "at_least", quote(r.AtLeast))
	}), "on every node that may run it")
}

// hook writes a hook.
func (p *printer) hook(h *Hook) {
	p.header("[[hook]]")
	p.key("name", quote(h.Name), "of the hook")
	p.key("event", quote(string(h.Event)), "what it waits for")
	p.key("when", quote(string(h.When)), "before or after it")
	if h.Group != "" {
		p.key("group", quote(h.Group), "in whose plans it runs")
	}
	p.key("nodes", list(h.Nodes), "where it runs")
	p.key("command", list(h.Command), "exits 0 when it has done its work")
	p.span("limit", h.Limit, "after so long it has failed")
	p.key("on_failure", quote(string(h.OnFailure)), "stop: its failure is that of the plan")
}

func daemonTable(d Daemon) string {
	kv := []string{"name", quote(d.Name)}
	for _, k := range []Option{{"exe", d.Exe}, {"pid_file", d.PIDFile}, {"match", d.Match}} {
		if k.Value != "" {
			kv = append(kv, k.Key, quote(k.Value))
		}
	}
	if d.Optional {
		kv = append(kv, "optional", "true")
	}
	return inline(kv...)
}
