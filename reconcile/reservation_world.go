package reconcile

import "maps"

// reserved puts a key on the model's disks below a device or volume group, and takes
// the one there off. Zero: none is left.
func (w *World) reserved(object string, k ReservationKey) {
	w.Reserved = maps.Clone(w.Reserved)
	if w.Reserved == nil {
		w.Reserved = map[string]ReservationKey{}
	}
	w.Reserved[object] = k
}

// reservations are those of the model as every host reads them.
func (w *World) reservations() []Reservation {
	out := []Reservation{}
	for i := range w.Config.Groups {
		for _, r := range toReserve(&w.Config.Groups[i]) {
			d := Reservation{Object: r.object(), Disk: "sd" + string(rune('a'+len(out)%26)), Paths: 1, Up: 1}
			if k := w.Reserved[d.Object]; k != 0 {
				d.Keys, d.Holder, d.Type = []ReservationKey{k}, k, WriteExclusive
			}
			out = append(out, d)
		}
	}
	return out
}
