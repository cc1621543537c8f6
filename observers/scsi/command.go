package scsi

import (
	"encoding/binary"
	"errors"
	"fmt"

	"understudy/reconcile"
)

// Key is what a host registers with a disk.
type Key = reconcile.ReservationKey

// Type says whom a reservation lets write.
type Type = reconcile.ReservationType

// Operation codes and service actions (SPC-4, tables 205 and 217).
const (
	opReserveIn  = 0x5e
	opReserveOut = 0x5f

	readKeys           = 0x00
	readReservation    = 0x01
	reportCapabilities = 0x02
)

// Action is a service action of PERSISTENT RESERVE OUT.
type Action uint8

// The actions in use.
const (
	Register          Action = 0x00 // only where the path is registered with Order.Key
	Reserve           Action = 0x01
	Release           Action = 0x02
	PreemptAndAbort   Action = 0x05 // takes every registration of Order.Other off, and ends its commands
	RegisterAndIgnore Action = 0x06 // whatever the path is registered with
)

// String is the action's name in SPC-4.
func (a Action) String() string {
	switch a {
	case Register:
		return "REGISTER"
	case Reserve:
		return "RESERVE"
	case Release:
		return "RELEASE"
	case PreemptAndAbort:
		return "PREEMPT AND ABORT"
	case RegisterAndIgnore:
		return "REGISTER AND IGNORE EXISTING KEY"
	}
	return fmt.Sprintf("service action %#02x", uint8(a))
}

// Order is one PERSISTENT RESERVE OUT.
type Order struct {
	Action Action
	Key    Key  // that the path is registered with
	Other  Key  // the new key of a registration, zero to end it; the key to be preempted
	Type   Type // of the reservation; not for registrations
	// Persist: what is registered outlives a power cut of the disk (APTPL).
	Persist bool
}

// parameters is the length of an Order's parameter list without transport IDs.
const parameters = 24

// encode gives command and parameter list (SPC-4, 6.16.1 and 6.16.3). The scope is
// the logical unit.
func (o Order) encode() (cdb [10]byte, list [parameters]byte) {
	cdb[0], cdb[1], cdb[2] = opReserveOut, uint8(o.Action), uint8(o.Type)&0x0f
	binary.BigEndian.PutUint32(cdb[5:9], parameters)
	binary.BigEndian.PutUint64(list[0:8], uint64(o.Key))
	binary.BigEndian.PutUint64(list[8:16], uint64(o.Other))
	if o.Persist {
		list[20] = 1
	}
	return cdb, list
}

// readCommand is a PERSISTENT RESERVE IN with room for so many bytes.
func readCommand(action uint8, room int) (cdb [10]byte) {
	cdb[0], cdb[1] = opReserveIn, action
	binary.BigEndian.PutUint16(cdb[7:9], uint16(room))
	return cdb
}

var errShort = errors.New("the answer ends too early")

// Keys is what READ KEYS says: one key for each path that is registered.
type Keys struct {
	Generation uint32 // counts changes of registrations
	Keys       []Key
}

// most is the largest room for an answer, in bytes: what a command has two bytes for.
const most = 0xffff

// parseKeys reads the parameter data of READ KEYS (SPC-4, 6.15.2). more is how much
// room the whole answer needs if b is not all of it.
func parseKeys(b []byte) (k Keys, more int, err error) {
	if len(b) < 8 {
		return Keys{}, 0, errShort
	}
	k.Generation = binary.BigEndian.Uint32(b)
	n := binary.BigEndian.Uint32(b[4:])
	switch {
	case n%8 != 0:
		return Keys{}, 0, fmt.Errorf("a list of keys has %d bytes, which is no multiple of 8", n)
	case n > most-8:
		return Keys{}, 0, fmt.Errorf("a list of keys has %d bytes, more than a command can ask for", n)
	case int(n) > len(b)-8:
		return Keys{}, int(n) + 8, nil
	}
	for i := 8; i < 8+int(n); i += 8 {
		k.Keys = append(k.Keys, Key(binary.BigEndian.Uint64(b[i:])))
	}
	return k, 0, nil
}

// Held is what READ RESERVATION says. The zero Held: nobody holds a reservation.
type Held struct {
	Key  Key
	Type Type
}

// parseReservation reads the parameter data of READ RESERVATION (SPC-4, 6.15.3).
func parseReservation(b []byte) (Held, error) {
	if len(b) < 8 {
		return Held{}, errShort
	}
	switch n := binary.BigEndian.Uint32(b[4:]); {
	case n == 0:
		return Held{}, nil
	case n != 16:
		return Held{}, fmt.Errorf("a reservation has %d bytes, not 16", n)
	case len(b) < 24:
		return Held{}, errShort
	}
	if scope := b[21] >> 4; scope != 0 {
		return Held{}, fmt.Errorf("a reservation has scope %d, not the whole disk", scope)
	}
	h := Held{Key: Key(binary.BigEndian.Uint64(b[8:])), Type: Type(b[21] & 0x0f)}
	if h.Type == 0 {
		return Held{}, errors.New("a reservation has no type")
	}
	return h, nil
}

// Capabilities is what REPORT CAPABILITIES says, as far as it matters here.
type Capabilities struct {
	Persist bool // registrations can outlive a power cut of the disk (PTPL_C)
	// Known: the disk says which types it has; the two others are false if not.
	Known           bool
	WriteExclusive  bool
	RegistrantsOnly bool // write exclusive, registrants only
}

// parseCapabilities reads the parameter data of REPORT CAPABILITIES (SPC-4, 6.15.4).
func parseCapabilities(b []byte) (Capabilities, error) {
	if len(b) < 8 {
		return Capabilities{}, errShort
	}
	if n := binary.BigEndian.Uint16(b); n < 8 {
		return Capabilities{}, fmt.Errorf("capabilities have %d bytes, not 8", n)
	}
	c := Capabilities{Persist: b[2]&0x01 != 0, Known: b[3]&0x80 != 0}
	if c.Known {
		c.WriteExclusive, c.RegistrantsOnly = b[4]&0x02 != 0, b[4]&0x20 != 0
	}
	return c, nil
}
