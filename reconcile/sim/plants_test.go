package sim

// plants are bugs that others had, or that this program would have without a line
// that looks as if it could go. Each is planted into the real source, by an overlay
// of the compiler, and the search must find it. What a second check would make good
// is taken out with it: two locks, both open.
var plants = []struct {
	name string
	say  string // in a violation
	kind string // of the clusters in which it is searched for
	edit []edit
}{
	{"the fence is skipped", "while", "memory honest", []edit{
		{"../lease/authority.go", `agent, err := a.Off(ctx, f)`, `agent, err := f.Agents(), error(nil)`},
	}},
	{"silence is taken for death", "while", "memory honest", []edit{
		{"../take.go", `case contradicted(c, s):`,
			"case s.Peer(c.Holder).State == PeerSilent:\n\t\treturn Evidence{Kind: EvidenceRebooted}, true\n\tcase contradicted(c, s):"},
	}},
	{"a fence of an earlier boot is believed", "while", "memory honest", []edit{
		{"../take.go", `if f, ok := st.Fenced[c.Holder]; ok && f.BootID == c.BootID {`, `if f, ok := st.Fenced[c.Holder]; ok && f.BootID != "" {`},
		{"../lease/take.go", `if f := v.Fenced[was.Holder]; f.BootID != was.BootID || f.BootID == "" {`, `if f := v.Fenced[was.Holder]; f.BootID == "" {`},
		{"../lease/take.go", `if v.Live[was.Holder] == was.BootID {`, `if false {`},
		{"../take.go", `return (p.State == PeerHeard || p.State == PeerDistant) && p.BootID == c.BootID`, `return false && p.Name == ""`},
	}},
	{"the lease counts from the reply", "knows no lease", "memory honest slow", []edit{
		{"../lease/renew.go", `k.sent, k.ever, k.failure = sent, true, ""`, `k.sent, k.ever, k.failure = k.now(), true, ""`},
		{"../lease/renew.go", `limit := k.cfg.Renew`, `limit := k.cfg.TTL`},
	}},
	{"a lost lease does not end a plan", "knows no lease", "memory honest", []edit{
		{"../loop/flight.go", `case d.Transition.Event == fsm.LeaseLost && f.plan.Goal == reconcile.Hold:`, `case false:`},
		{"../loop/flight.go", `case d.Goal != f.plan.Goal && d.Goal != reconcile.Leave:`, `case false:`},
		{"../loop/flight.go", `if sp.Storage {`, `if false {`},
	}},
	{"the claim is taken after the mount", "the claim of", "memory honest", []edit{
		{"../diff.go", `b.add(TakeClaim{Group: b.g.Name, Was: b.claim, Epoch: b.claim.Epoch + 1, Evidence: ev, Reason: take.Reason,`,
			"defer b.add(TakeClaim{Group: b.g.Name, Was: b.claim, Epoch: b.claim.Epoch + 1, Evidence: ev, Reason: take.Reason,"},
	}},
	{"release is not proved", "while", "memory honest", []edit{
		{"../release.go", `b.add(ProveRelease{Group: *b.g}, "the next holder relies on it")`, `_ = ProveRelease{}`},
	}},
	{"the claim is released before the unmount", "while", "memory honest", []edit{
		{"../release.go", `b.unmounts(mine)`, `defer b.unmounts(mine)`},
		{"../release.go", `b.add(ProveRelease{Group: *b.g}, "the next holder relies on it")`, `_ = ProveRelease{}`},
	}},
	{"the address stays", "while", "memory honest", []edit{
		{"../release.go", `b.add(DropAddress{Address: a}, "it is here and not wanted")`, `_ = DropAddress{}`},
		{"../release.go", `b.add(ProveRelease{Group: *b.g}, "the next holder relies on it")`, `_ = ProveRelease{}`},
	}},
	{"nothing is purged", "left behind", "memory honest", []edit{
		{"../diff.go", `b.add(PurgeFiles{Group: b.g.Name, App: a, Purge: p, Mount: m}, "left behind by the last run")`, `_ = m`},
	}},
	{"the host name is not put back after a crash", "has the name", "memory honest", []edit{
		{"../loop/memory.go", `saved := l.opt.Actor.SavedHostname()`, `saved := ""; _ = l.opt.Actor.SavedHostname`},
	}},
	{"a dirty node is not remembered", "nothing on disk says so", "memory honest", []edit{
		{"../dirty.go", `b.add(MarkDirty{Group: b.g.Name, App: a.Name, BootID: b.s.BootID}, "once started, only a reboot of this host lets go of the disks")`, `_ = MarkDirty{}`},
	}},
	{"an isolated node fences", "cut off and fences", "memory honest", []edit{
		{"../lease/authority.go", `if err := a.Keeper.Refresh(ctx); err != nil {`, `if err := error(nil); err != nil {`},
		{"../take.go", `if s.Store.Value.Live[claim.Holder] == claim.BootID && !slices.ContainsFunc(`, `if false && !slices.ContainsFunc(`},
	}},
	{"the store is not compared", "while", "memory honest", []edit{
		{"../lease/take.go", `if was.Revision != t.Was.Revision {`, `if false {`},
		{"../lease/take.go", `if t.Epoch != was.Epoch+1 {`, `if false {`},
		{"../lease/take.go", `if err := k.proven(t, was, v); err != nil {`, `if err := error(nil); err != nil {`},
	}},
	{"a failed start is left half up", "after everything is mended", "memory honest", []edit{
		{"../loop/flight.go", `m.Failed, m.Retry = "cannot take it up here: "+o.err.Error(), time.Time{}`, `m.Retry = time.Now().Add(time.Hour)`},
	}},
	{"a lie that is contradicted is believed", "has been heard", "disk lies", []edit{
		{"../take.go", `return (p.State == PeerHeard || p.State == PeerDistant) && p.BootID == c.BootID`, `return false && p.Name == ""`},
		{"../lease/authority.go", `if p := a.peer(f.Node); p.State == reconcile.PeerHeard && p.BootID == f.BootID {`, `if p := a.peer(f.Node); false && p.Name == "" {`},
	}},
	{"a drained node takes", "@drain", "memory", []edit{
		{"../take.go", `if r, ok := Drained(s, s.Node); ok {`, `if r, ok := Drained(s, s.Node); false && ok {`},
	}},
	{"a frozen group is touched", "frozen for", "memory", []edit{
		{"../decide.go", `if r, frozen := Frozen(s, g.Name); frozen {`, `if r, frozen := Frozen(s, g.Name); false && frozen {`},
		{"../decide.go", `d.freeze(g, s)`, `_ = d.freeze`},
		{"../freeze.go", `return fsm.Unsure, r.Sentence() + "; nothing is done about this: " + because`, `_ = r; return event, because`},
	}},
	{"what was stopped is taken", "@stop", "memory", []edit{
		{"../take.go", `if r, ok := order(s, Stopped, g.Name); ok && !asked(g, s, claim) {`, `if r, ok := order(s, Stopped, g.Name); false && ok {`},
	}},
	{"failovers are not counted", "its budget is", "memory", []edit{
		{"../budget.go", `kept = append(kept, s.At.Unix())`, `_ = kept`},
	}},
	{"the watchdog is fed behind its bound", "while", "disk honest", []edit{
		{"../act/watchdog/watchdog.go", `next = now + left + w.opt.Config.Release`, `next = now + left + time.Minute`},
	}},
	{"the time of silence is counted too long", "while", "disk honest", []edit{
		{"../lease/disk/observe.go", `r.begun.Sub(w.sign) > l.TTL {`, `5*r.begun.Sub(w.sign) > l.TTL {`},
		{"../lease/disk/observe.go", `return bound > 0 && ttl > 0 && still > after+2*after/1000`, `return bound > 0 && ttl > 0 && 5*still > after`},
	}},
	{"a vote is not looked at again", "claim of", "disk honest", []edit{
		{"../lease/disk/ballot.go", `r, fault = s.lookAround(ctx)`, `fault = nil`},
	}},
	{"the slot of an older incarnation is believed", "claim of", "disk honest", []edit{
		{"../lease/disk/collect.go", `b.Voted > best.Voted || b.Voted == best.Voted && b.Decided)`, `b.Decided && !best.Decided)`},
	}},
}
