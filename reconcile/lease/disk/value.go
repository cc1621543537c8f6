package disk

import (
	"maps"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// value is what the ballots agree upon: everything that the store holds. One
// that was written or read is not changed any more; a ballot changes a clone.
type value struct {
	Rev      int64                             `json:"rev"`
	Claims   map[string]claim                  `json:"claims,omitempty"`
	Live     map[string]live                   `json:"live,omitempty"` // by node
	Fenced   map[string]reconcile.FenceRecord  `json:"fenced,omitempty"`
	Confirms map[string]reconcile.Confirmation `json:"confirms,omitempty"`
	Requests map[string]request                `json:"requests,omitempty"` // by group
	// Done is the last change that each slot has brought in, so that one whose
	// ballot was overtaken and whose value was taken over is not made twice.
	Done map[int]done `json:"done,omitempty"`
}

type claim struct {
	reconcile.Claim
	Rev int64 `json:"rev"`
}

type live struct {
	ID   int64         `json:"id"`
	Boot string        `json:"boot"`
	TTL  time.Duration `json:"ttl"`
	Slot int           `json:"slot"` // where its beats are
}

type request struct {
	reconcile.Request
	ID  int64         `json:"id"` // the revision at which it was made
	TTL time.Duration `json:"ttl"`
}

type done struct {
	Op     string `json:"op"`
	Result int64  `json:"result,omitempty"`
}

// clone copies v, nil being the empty state.
func (v *value) clone() *value {
	if v == nil {
		v = &value{}
	}
	fill := func(w *value) *value {
		if w.Claims == nil {
			w.Claims = map[string]claim{}
		}
		if w.Live == nil {
			w.Live = map[string]live{}
		}
		if w.Fenced == nil {
			w.Fenced = map[string]reconcile.FenceRecord{}
		}
		if w.Confirms == nil {
			w.Confirms = map[string]reconcile.Confirmation{}
		}
		if w.Requests == nil {
			w.Requests = map[string]request{}
		}
		if w.Done == nil {
			w.Done = map[int]done{}
		}
		return w
	}
	return fill(&value{Rev: v.Rev, Claims: maps.Clone(v.Claims), Live: maps.Clone(v.Live), Fenced: maps.Clone(v.Fenced),
		Confirms: maps.Clone(v.Confirms), Requests: maps.Clone(v.Requests), Done: maps.Clone(v.Done)})
}

// lease finds a live lease by its id.
func (v *value) lease(id lease.LeaseID) (node string, l live, ok bool) {
	if v == nil || id == 0 {
		return "", live{}, false
	}
	for node, l := range v.Live {
		if l.ID == int64(id) {
			return node, l, true
		}
	}
	return "", live{}, false
}

func (v *value) grant(node, boot string, ttl time.Duration, slot int) (int64, error) {
	if v.Fenced[node].BootID == boot || v.Confirms[node].BootID == boot {
		return 0, lease.ErrFenced
	}
	if l, ok := v.Live[node]; ok && l.Boot != boot {
		return 0, lease.ErrOtherBoot
	}
	v.Rev++
	v.Live[node] = live{ID: v.Rev, Boot: boot, TTL: ttl, Slot: slot}
	return v.Rev, nil
}

func (v *value) revoke(node, boot string) {
	if l, ok := v.Live[node]; ok && l.Boot == boot {
		delete(v.Live, node)
		v.Rev++
	}
}

func (v *value) take(id lease.LeaseID, next reconcile.Claim, was int64) (int64, error) {
	node, l, ok := v.lease(id)
	if !ok || node != next.Holder || l.Boot != next.BootID {
		return 0, lease.ErrNoLease
	}
	if v.Claims[next.Group].Rev != was {
		return 0, lease.ErrChanged
	}
	// A silence is no proof about a boot that has a lease again.
	if prev := v.Claims[next.Group]; next.Evidence.Kind == reconcile.EvidenceWatchdog && !next.Released && v.Live[prev.Holder].Boot == prev.BootID && prev.Holder != next.Holder {
		return 0, lease.ErrChanged
	}
	v.Rev++
	v.Claims[next.Group] = claim{Claim: next, Rev: v.Rev}
	return v.Rev, nil
}

func (v *value) fence(f reconcile.FenceRecord) {
	v.Rev++
	v.Fenced[f.Node] = f
	if l, ok := v.Live[f.Node]; ok && l.Boot == f.BootID {
		delete(v.Live, f.Node)
	}
}

// view is what the keeper sees of v.
func (v *value) view(outlasted map[string]string) reconcile.StoreView {
	w := v.clone()
	out := reconcile.StoreView{
		Revision: w.Rev, Claims: map[string]reconcile.Claim{}, Live: map[string]string{}, Fenced: w.Fenced, Confirms: w.Confirms,
		Requests: map[string]reconcile.Request{}, Outlasted: outlasted,
	}
	for g, c := range w.Claims {
		c.Claim.Revision = c.Rev
		out.Claims[g] = c.Claim
	}
	for n, l := range w.Live {
		out.Live[n] = l.Boot
	}
	for g, r := range w.Requests {
		out.Requests[g] = r.Request
	}
	return out
}
