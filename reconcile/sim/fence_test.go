package sim

import (
	"context"
	"errors"
	"time"

	"understudy/reconcile"
)

// fence is the fence device of another host: it acts on the power, takes its time, and
// may fail, hang, or fail and act later. Where the seed has lies it may confirm off and
// leave the machine as it is, or switch another one off.
func (p *process) fence(ctx context.Context, f reconcile.Fence) (string, error) {
	agent := f.Methods[0].Agent
	w, key := p.h.w, "fence/"+p.h.name+"/"+f.Node
	t := w.mishaps()
	hangs, fails := w.chance(key+"/hang", t.fenceHangs), w.chance(key+"/fail", t.fenceFails)
	late, lies := w.chance(key+"/late", t.fenceLate), w.chance(key+"/lies", t.fenceLies)
	other := w.hosts[w.pick(key+"/other", len(w.hosts))]
	wrong := w.chance(key+"/wrong", 2)
	takes, after := w.between(key+"/takes", 50*time.Millisecond, 2*time.Second), w.between(key+"/after", 100*time.Millisecond, 30*time.Second)
	w.mu.Lock()
	w.say(p.h.name, "fences %s", f.Node)
	w.count("fences")
	if !p.h.cutSince.IsZero() && time.Since(p.h.cutSince) > time.Second {
		w.bad(p.h.name, "is cut off and fences %s", f.Node)
	}
	w.mu.Unlock()
	if hangs || late {
		w.count("fences that hung")
		<-ctx.Done()
		if late {
			w.mu.Lock()
			w.after(after, func() {
				if !w.mended.Load() {
					w.count("fences that acted late")
					w.switchOff(f.Node, "fenced late by "+p.h.name)
				}
			})
			w.mu.Unlock()
		}
		return "", context.Cause(ctx)
	}
	if !wait(ctx, takes) {
		return "", context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead || fails {
		w.count("fences that failed")
		return "", errors.New("the fence device does not answer")
	}
	target := w.host(f.Node)
	if lies && target.up && target.boot == f.BootID {
		w.lie(target, "the fence device has confirmed off")
		p.fooled = f.BootID
		if wrong && other != target {
			w.count("fences that switched another machine off")
			w.switchOff(other.name, "fenced in place of "+f.Node)
		}
		return agent, nil
	}
	w.count("fences that confirmed off")
	w.switchOff(f.Node, "fenced by "+p.h.name)
	return agent, nil
}

// switchOff takes the power of a host away, and often somebody gives it back. The mutex
// is held.
func (w *world) switchOff(name, why string) {
	h := w.host(name)
	h.off(why)
	if w.chance("on/"+name, 2) {
		w.after(w.between("on/"+name+"/after", 3*time.Second, 60*time.Second), h.on)
	}
}

// fenced is asked when a fence has succeeded, and is on record: a boot that is heard all
// the same must not be. The mutex is held.
func (p *process) fenced(f reconcile.Fence) {
	w := p.h.w
	p.listen(p.ear.peers())
	s := p.sounds[f.Node]
	if p.fooled == f.BootID && s.boot == f.BootID && time.Since(s.since) > time.Second+2*w.cfg.Lease.Renew {
		w.bad(p.h.name, "the fence of %s is on record, and its boot has been heard for %s all the same", f.Node, time.Since(s.since).Round(time.Millisecond))
	}
	p.fooled = ""
}
