package config

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// lint checks what the guide warns of in names, addresses and hooks.
func (b *builder) lint() {
	for i := range b.config.Groups {
		g, f := &b.config.Groups[i], &b.file.Group[i]
		for k := range g.Filesystems {
			fs, ff := &g.Filesystems[k], &f.Filesystem[k]
			what := "group " + g.Name + ": filesystem " + fs.Mount
			if !fs.Local {
				b.volumeNames(fs.Device, fs.Volume, ff.Device.line, what)
			}
			b.logDevice(g, fs, ff, what)
		}
		for k := range g.Aggregates {
			a := &g.Aggregates[k]
			b.volumeNames(a.Device, a.Volume, f.Aggregate[k].Device.line, "group "+g.Name+": aggregate "+a.Device)
		}
		b.tooMany(g, f)
	}
	for i := range b.config.Services {
		b.tooManyService(&b.config.Services[i], &b.file.Service[i])
	}
	b.sameAction()
}

// automatic are names that a volume manager gives by itself: AIX counts logical
// volumes lv00, their logs loglv00, those of JFS2 fslv00; LVM of Linux counts
// lvol0. Two machines have the same of them for different things (guide, "Setting
// Up HACMP for DCE and DFS").
var automatic = regexp.MustCompile(`^((fs|log)?lv[0-9]{2,}|lvol[0-9]+)$`)

func (b *builder) volumeNames(device, volume string, line int, what string) {
	if volume == "rootvg" {
		b.add(ruleAutomaticName, line, "put it into a volume group of its own, on shared disks", "%s: volume group rootvg is that of the operating system", what)
	}
	if lv := path.Base(device); automatic.MatchString(lv) {
		b.add(ruleAutomaticName, line, "rename it, so that the other node cannot have another of the same name", "%s: logical volume %s has a name that the system gives by itself", what, lv)
	}
}

// logOptions name the device of a journal: xfs(5), ext4(5), and mount of AIX.
var logOptions = []string{"logdev=", "journal_path=", "log="}

// logDevice checks a journal that has a device of its own.
func (b *builder) logDevice(g *Group, fs *Filesystem, f *fileFilesystem, what string) {
	for i, o := range fs.Options {
		for _, name := range logOptions {
			device, isLog := strings.CutPrefix(o, name)
			if !isLog || !strings.HasPrefix(device, "/") || fs.Local {
				continue
			}
			line := lineAt(&f.Options, i)
			b.volumeNames(device, "", line, what)
			if vg := inferVolume(device); vg != fs.Volume {
				b.add(ruleLogVolume, line, "put the log into volume group "+quote(fs.Volume)+" too", "%s: its log %s is not in its volume group %s", what, device, quote(fs.Volume))
			}
		}
	}
}

// mostExcluded is how many addresses RPC_UNSUPPORTED_NETADDRS may list (guide,
// "Planning Considerations for DCE").
const mostExcluded = 10

// tooMany counts, on each node of a group or service, the declared addresses that
// its RPC servers would have to keep off.
func (b *builder) tooMany(g *Group, f *fileGroup) {
	at := slices.IndexFunc(g.Applications, func(a Application) bool { return a.RPCExclude })
	if at < 0 {
		return
	}
	line := max(f.Application[at].RPCExclude.line, f.Application[at].line)
	b.count(g.Nodes, func(_ string, o *Group) bool { return o.Name == g.Name }, line, "group "+g.Name+": application "+g.Applications[at].Name)
}

// tooManyService is tooMany for a service: its addresses are those of the groups
// whose home the node is. Without one it is not kept to anything.
func (b *builder) tooManyService(s *Service, f *fileService) {
	var nodes []string
	for _, n := range s.Nodes {
		if slices.ContainsFunc(b.config.Groups, func(g Group) bool { return g.Home() == n && len(g.Addresses) > 0 }) {
			nodes = append(nodes, n)
		}
	}
	if s.RPCExclude {
		b.count(nodes, func(node string, o *Group) bool { return o.Home() == node }, max(f.RPCExclude.line, f.line), "service "+s.Name)
	}
}

// count looks for a node with too many addresses, apart from those of the groups
// whose addresses are meant to be used there.
func (b *builder) count(nodes []string, own func(node string, g *Group) bool, line int, what string) {
	for _, node := range nodes {
		of, other := 0, 0
		for _, a := range b.config.Node(node).Addresses {
			if a.Prefix.Addr().Is4() {
				of++
			}
		}
		for i := range b.config.Groups {
			g := &b.config.Groups[i]
			if !slices.Contains(g.Nodes, node) || own(node, g) {
				continue
			}
			for _, a := range g.Addresses {
				if a.Prefix.Addr().Is4() {
					other++
				}
			}
		}
		if of+other > mostExcluded {
			b.add(ruleTooMany, line, "take groups or networks off the node, or write rpc_exclude = false",
				"%s: node %s may have %d addresses to exclude, %d of its own and %d of other groups, and %s lists at most %d",
				what, node, of+other, of, other, netaddrsVariable, mostExcluded)
			return
		}
	}
}

// sameAction refuses a command that would run twice: as an application's and as a
// hook's, or in two hooks of one event (guide, notes to "DCE Failover Actions").
func (b *builder) sameAction() {
	for i := range b.config.Hooks {
		h, line := &b.config.Hooks[i], b.hookFiles[i].Command.line
		if app := b.runBy(h); app != "" {
			b.add(ruleSameAction, line, "leave it to the application, or take the application out", "hook %s: %s is run by %s too", h.Name, h.Command[0], app)
			continue
		}
		for _, o := range b.config.Hooks[:i] {
			if o.Event == h.Event && o.When == h.When && o.Group == h.Group && overlap(o.Nodes, h.Nodes) && len(h.Command) > 0 && slices.Equal(o.Command, h.Command) {
				b.add(ruleSameAction, line, "take one of them out", "hook %s: hook %s runs the same at the same moment", h.Name, o.Name)
			}
		}
	}
}

// runBy is the application of the hook's group, or of any group for a hook without
// one, that runs the hook's command; "" if there is none. A command without arguments
// is the same with any.
func (b *builder) runBy(h *Hook) string {
	for i := range b.config.Groups {
		g := &b.config.Groups[i]
		for _, a := range g.Applications {
			for _, argv := range [][]string{a.Start, a.Stop, a.Run} {
				same := slices.Equal(argv, h.Command) || len(argv) == 1 && len(h.Command) > 0 && argv[0] == h.Command[0]
				if len(argv) > 0 && same && (h.Group == "" || h.Group == g.Name) {
					return "application " + a.Name + " of group " + g.Name
				}
			}
		}
	}
	return ""
}

// placeholder is a host name that was never filled in, or names no service: what
// the guide's samples print, and what every machine calls itself.
var placeholder = regexp.MustCompile(`(?i)^(x{2,}|localhost|hostname|changeme|name)(\.|$)`)
