package reconcile

import (
	"fmt"
	"strings"
	"time"

	"understudy/config"
)

// How long steps may take and do take as a rule. Limits of applications and
// fences come from the file.
const (
	claimLimit    = 2 * time.Second // one transaction with a majority of the store
	activateLimit = 10 * time.Second
	reserveLimit  = 20 * time.Second // a dozen short commands to each path of each disk
	reserveExpect = 10 * time.Millisecond
	volumeLimit   = 30 * time.Second // half a dozen commands of LVM, each of which reads every disk
	mountLimit    = 60 * time.Second // replays a journal; a check has its own time in it
	addressLimit  = 5 * time.Second
	purgeLimit    = 30 * time.Second
	unmountLimit  = 20 * time.Second // with the ladder of signals to those who hold it
	proveLimit    = 10 * time.Second
	hostnameLimit = 2 * time.Second
	rebootLimit   = 2 * time.Minute
	storageNeeds  = config.StepNeeds // of lease left when a step on shared storage begins

	// RFC 5227, 2.1.1 asks for three probes over one to three seconds. A holder
	// answers within 15 ms, so the waiting is shortened, and shortened more
	// where the former holder is proven gone.
	probeCarefully = 750 * time.Millisecond
	probeAfterOff  = 20 * time.Millisecond
)

// Spec implements Step.
func (s Fence) Spec() Spec {
	sp := Spec{
		Verb: "fence", Object: s.Node, Detail: s.Agents() + " off, confirmed",
		Command: s.commands(),
		Pre:     s.Node + " is silent on every network and this node holds a valid lease",
		Post:    "status says off, and the store holds the record for boot " + short(s.BootID),
		Limit:   s.limit() + s.settle(), Expect: time.Second + s.settle(),
		Storage: true, Needs: storageNeeds,
	}
	if d := s.settle(); d > 0 {
		sp.Detail += ", then " + Human(d) + " for what is under way"
		sp.Command += ", then wait " + Human(d)
	}
	return sp
}

// settle is how long the disks are given at most after a fence.
func (s Fence) settle() (d time.Duration) {
	for _, m := range s.Methods {
		d = max(d, m.Settle)
	}
	return d
}

// Spec implements Step.
func (s TakeClaim) Spec() Spec {
	detail := fmt.Sprintf("epoch %d → %d, %s", s.Was.Epoch, s.Epoch, s.Evidence.Kind)
	return Spec{
		Verb: "claim", Object: s.Group, Detail: detail,
		Command: fmt.Sprintf("one transaction: claim at epoch %d unchanged and lease live → epoch %d", s.Was.Epoch, s.Epoch),
		Pre:     "evidence: " + string(s.Evidence.Kind),
		Post:    fmt.Sprintf("the store names this node and boot at epoch %d", s.Epoch),
		Undo:    "sign the claim off after the proof of release",
		Limit:   claimLimit, Expect: 10 * time.Millisecond,
		Storage: true, Needs: storageNeeds,
	}
}

// Spec implements Step.
func (s Activate) Spec() Spec {
	sp := Spec{
		Verb: "activate", Pre: "the claim is ours",
		Limit: activateLimit, Expect: 5 * time.Millisecond, Storage: true, Needs: storageNeeds,
	}
	if s.Device != "" {
		sp.Object, sp.Detail = s.Device, "drop stale buffers"
		sp.Command = "blockdev --flushbufs " + s.Device
		sp.Post = s.Device + " is a block device and answers"
		return sp
	}
	sp.Object, sp.Detail = s.Volume.Name, "vgchange -ay"
	sp.Command = fmt.Sprintf("vgchange --systemid $(this host) %s; vgchange --activate y %s", s.Volume.Name, s.Volume.Name)
	sp.Pre = "the claim is ours, and the volume group is whole here and not exported"
	sp.Post = "every logical volume of " + s.Volume.Name + " is active here, and its metadata name this host as the owner"
	sp.Limit = volumeLimit
	sp.Undo = "vgchange --activate n " + s.Volume.Name
	sp.Expect = 300 * time.Millisecond
	return sp
}

// Spec implements Step.
func (s MountFS) Spec() Spec {
	cmd := "mount -t " + s.FS.Type
	if len(s.FS.Options) > 0 {
		cmd += " -o " + strings.Join(s.FS.Options, ",")
	}
	return Spec{
		Verb: "mount", Object: s.FS.Mount, Detail: s.FS.Device + " " + s.FS.Type,
		Command: cmd + " " + s.FS.Device + " " + s.FS.Mount,
		Pre:     s.FS.Device + " is not mounted on this host and holds " + s.FS.Type,
		Post:    "the mount table shows exactly this device at " + s.FS.Mount,
		Undo:    "umount " + s.FS.Mount,
		Limit:   mountLimit, Expect: 20 * time.Millisecond, Storage: true, Needs: storageNeeds,
	}
}

// Spec implements Step.
func (s AddAddress) Spec() Spec {
	detail := fmt.Sprintf("%s on %s, probe %s, announce", s.Address.Prefix, s.Link, Human(s.Probe))
	if s.Probe == 0 {
		detail = fmt.Sprintf("%s on %s, announce", s.Address.Prefix, s.Link)
	}
	command := fmt.Sprintf("ip address add %s dev %s", s.Address.Prefix, s.Link)
	if len(s.Besides) > 0 {
		command += fmt.Sprintf("; ip route prepend ROUTE dev %s src %s, for its subnet and the gateways in it that %s leads to", s.Link, s.Address.Prefix.Addr(), strings.Join(s.Besides, " or "))
	}
	return Spec{
		Verb: "address", Object: s.Address.Label, Detail: detail,
		Command: command,
		Pre:     "nobody else on the wire answers for " + s.Address.Prefix.Addr().String(),
		Post:    fmt.Sprintf("%s is on %s and announced by gratuitous ARP or neighbour advertisement", s.Address.Prefix.Addr(), s.Link),
		Undo:    fmt.Sprintf("ip address del %s dev %s", s.Address.Prefix, s.Link),
		Limit:   addressLimit, Expect: s.Probe + 5*time.Millisecond, Storage: true, Needs: storageNeeds,
	}
}

// Spec implements Step.
func (s SetHostname) Spec() Spec {
	return Spec{
		Verb: "hostname", Object: s.Name, Detail: "save the present name, then set",
		Command: "hostname " + s.Name,
		Pre:     "the present name is saved on local disk",
		Post:    "hostname prints " + s.Name,
		Undo:    "hostname SAVED", Limit: hostnameLimit, Expect: 5 * time.Millisecond,
	}
}

// Spec implements Step.
func (s RestoreHostname) Spec() Spec {
	return Spec{
		Verb: "hostname", Object: "(saved)", Detail: "put " + s.Name + " back",
		Command: "hostname " + s.Name,
		Post:    "hostname prints the saved name, and the saved record is gone",
		Limit:   hostnameLimit, Expect: 5 * time.Millisecond,
	}
}

// Spec implements Step.
func (s PurgeFiles) Spec() Spec {
	sp := Spec{
		Verb: "purge", Object: s.Purge.Path,
		Command: "unlink " + s.Purge.Path + " beneath " + s.Mount,
		Pre:     s.Mount + " is the group's mount, and nothing of the application runs",
		Post:    s.Purge.Path + " is gone",
		Limit:   purgeLimit, Expect: 5 * time.Millisecond, Storage: true, Needs: storageNeeds,
	}
	if s.Purge.Tree {
		sp.Detail = "every file below"
		sp.Command = "unlink every file below " + s.Purge.Path + ", not across mounts or links"
		sp.Post = "no file is left below " + s.Purge.Path
	}
	return sp
}

// Spec implements Step.
func (s Start) Spec() Spec {
	argv := s.App.Start
	if len(s.App.Run) > 0 {
		argv = s.App.Run
	}
	detail := fmt.Sprintf("%s   ≤ %s", argv[0], Human(s.App.StartLimit))
	for _, e := range s.Environment {
		detail += ", " + e.Key + "=" + e.Value
	}
	sp := Spec{
		Verb: "start", Object: s.App.Name, Detail: detail,
		Command: environment(s.Environment) + quote(argv),
		Pre:     "every file system and address of the group is here",
		Post:    "its daemons run: " + daemonNames(s.App),
		Undo:    "stop " + s.App.Name,
		Limit:   s.App.StartLimit, Expect: 50 * time.Millisecond, Storage: true, Needs: storageNeeds,
	}
	if s.Group == NodeGroup { // it belongs to its host and touches nothing shared
		sp.Pre, sp.Storage, sp.Needs = "", false, 0
	}
	return sp
}

// Spec implements Step.
func (s Verify) Spec() Spec {
	sp := Spec{
		Verb: "verify", Object: s.App.Name, Detail: daemonNames(s.App) + " up",
		Command: "look at its processes",
		Post:    "its daemons run",
		Limit:   s.App.StartLimit, Expect: 5 * time.Millisecond,
	}
	if len(s.App.Probes) > 0 {
		sp.Detail += "; probe ok"
		sp.Command = ""
		for i, p := range s.App.Probes {
			if i > 0 {
				sp.Command += "; "
			}
			sp.Command += quote(p.Command)
			sp.Expect += 20 * time.Millisecond
		}
		sp.Post += " and every probe exits 0"
	}
	return sp
}

// Spec implements Step.
func (s Stop) Spec() Spec {
	detail, cmd := "SIGTERM, then SIGKILL", "SIGTERM to its processes"
	if len(s.App.Stop) > 0 {
		detail, cmd = s.App.Stop[0], environment(s.Environment)+quote(s.App.Stop)
	}
	return Spec{
		Verb: "stop", Object: s.App.Name, Detail: fmt.Sprintf("%s   ≤ %s", detail, Human(s.App.StopLimit)),
		Command: cmd,
		Post:    "no process of it is left",
		Limit:   2 * s.App.StopLimit, Expect: 50 * time.Millisecond,
	}
}

// Spec implements Step.
func (s DropAddress) Spec() Spec {
	return Spec{
		Verb: "drop", Object: s.Address.Label, Detail: s.Address.Prefix.String(),
		Command: "ip address del " + s.Address.Prefix.String(),
		Post:    "no link of this host has " + s.Address.Prefix.Addr().String(),
		Limit:   addressLimit, Expect: 2 * time.Millisecond,
	}
}

// Spec implements Step.
func (s Unmount) Spec() Spec {
	return Spec{
		Verb: "unmount", Object: s.Point, Detail: s.FS.Device,
		Command: "umount " + s.Point,
		Post:    s.FS.Device + " is in no mount table of this host",
		Limit:   unmountLimit, Expect: 20 * time.Millisecond,
	}
}

// Spec implements Step.
func (s Deactivate) Spec() Spec {
	sp := Spec{Verb: "release", Limit: activateLimit, Expect: 5 * time.Millisecond}
	if s.Device != "" {
		sp.Object, sp.Detail = s.Device, "write back and let go"
		sp.Command = "blockdev --flushbufs " + s.Device
		sp.Post = "nothing on this host has " + s.Device + " open"
		return sp
	}
	sp.Object, sp.Detail = s.Volume.Name, "vgchange -an"
	sp.Command = "vgchange --activate n " + s.Volume.Name
	sp.Post = "no logical volume of " + s.Volume.Name + " is active here"
	sp.Limit = volumeLimit
	return sp
}

// Spec implements Step.
func (s ProveRelease) Spec() Spec {
	return Spec{
		Verb: "prove", Object: s.Group.Name, Detail: "no process, mount, address or open device is left",
		Command: "read processes, mount tables and addresses; open each device exclusively",
		Post:    "nothing of " + s.Group.Name + " is left on this host",
		Limit:   proveLimit, Expect: 5 * time.Millisecond,
	}
}

// Spec implements Step.
func (s SignOff) Spec() Spec {
	return Spec{
		Verb: "sign off", Object: s.Group, Detail: fmt.Sprintf("claim of epoch %d released", s.Epoch),
		Command: fmt.Sprintf("one transaction: our claim of epoch %d → released", s.Epoch),
		Pre:     "the proof of release has just succeeded",
		Post:    "the store says released: any node may take it at once",
		Limit:   claimLimit, Expect: 10 * time.Millisecond,
	}
}

// Spec implements Step.
func (s MarkDirty) Spec() Spec {
	return Spec{
		Verb: "mark", Object: s.App, Detail: "only a reboot of this host lets go of it",
		Command: "write and sync the record of boot " + short(s.BootID),
		Post:    "the record is on disk and outlives this process",
		Limit:   hostnameLimit, Expect: 5 * time.Millisecond,
	}
}

// Spec implements Step.
func (s Reboot) Spec() Spec {
	cmd := "write everything back, then reboot"
	if s.AtOnce {
		cmd = "reset, and write nothing back"
	}
	return Spec{
		Verb: "reboot", Object: "(this host)", Detail: s.Why,
		Command: cmd,
		Post:    "this host has another boot id",
		Limit:   rebootLimit, Expect: rebootLimit / 2,
	}
}

// Spec implements Step.
func (s RunHook) Spec() Spec {
	return Spec{
		Verb: "hook", Object: s.Hook.Name,
		Detail:  fmt.Sprintf("%s-%s: %s   ≤ %s", s.Hook.When, s.Hook.Event, s.Hook.Command[0], Human(s.Hook.Limit)),
		Command: environment(s.Environment) + quote(s.Hook.Command),
		Post:    "it exits 0",
		Limit:   s.Hook.Limit, Expect: 20 * time.Millisecond,
		Optional: s.Hook.OnFailure == config.IgnoreHookFailure,
	}
}

// Spec implements Step.
func (s Notify) Spec() Spec {
	return Spec{
		Verb: "notify", Object: s.App, Detail: s.Text,
		Command: "log it and keep it in the record",
		Post:    "it stands in the record",
		Limit:   hostnameLimit, Expect: time.Millisecond,
	}
}

func short(bootID string) string {
	if len(bootID) > 8 {
		return bootID[:8]
	}
	return bootID
}

func daemonNames(a config.Application) string {
	var names []string
	for _, d := range a.Daemons {
		if !d.Optional {
			names = append(names, d.Name)
		}
	}
	return strings.Join(names, ", ")
}

func environment(env []config.Option) string {
	var b strings.Builder
	for _, e := range env {
		b.WriteString(e.Key + "=" + shellWord(e.Value) + " ")
	}
	return b.String()
}

func quote(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = shellWord(a)
	}
	return strings.Join(words, " ")
}

// shellWord quotes a word so that a person can paste it into a POSIX shell.
func shellWord(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%", r)
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
