package scsi

import (
	"errors"
	"fmt"
)

// ErrConflict: the disk has refused a command for a reservation, or for a key that is
// not registered (status RESERVATION CONFLICT, SAM-5, 5.3.1).
var ErrConflict = errors.New("reservation conflict")

// ErrNotSCSI: reservations are done for SCSI disks alone.
var ErrNotSCSI = errors.New("it is no SCSI disk")

// Status codes and sense keys (SAM-5, 5.3.1; SPC-4, 4.5.6).
const (
	good                = 0x00
	checkCondition      = 0x02
	busy                = 0x08
	reservationConflict = 0x18
	taskSetFull         = 0x28

	illegalRequest = 0x05
	unitAttention  = 0x06
)

// attempts is how often a command is given that the disk asks to repeat. Each path can
// have a unit attention for each thing that has happened.
const attempts = 6

// StatusError is a command that a disk, or the way to it, did not carry out.
type StatusError struct {
	Status       uint8
	Sense        uint8 // sense key, with ASC and ASCQ; of a check condition
	ASC, ASCQ    uint8
	Host, Driver uint16 // what the kernel had to say; not zero: the disk may not have seen it
}

// Error says what is known.
func (e *StatusError) Error() string {
	switch {
	case e.Host != 0:
		return fmt.Sprintf("the disk was not reached (host status %#x)", e.Host)
	case e.Status == checkCondition && e.Sense == illegalRequest:
		return fmt.Sprintf("the disk does not know this command or its parameters (sense %#02x/%#02x/%#02x)", e.Sense, e.ASC, e.ASCQ)
	case e.Status == checkCondition:
		return fmt.Sprintf("check condition, sense %#02x/%#02x/%#02x", e.Sense, e.ASC, e.ASCQ)
	}
	return fmt.Sprintf("status %#02x, driver status %#x", e.Status, e.Driver)
}

// again reports that the same command may well be carried out next time: the disk
// only had something to tell, or had no room.
func (e *StatusError) again() bool {
	return e.Host == 0 && (e.Status == checkCondition && e.Sense == unitAttention || e.Status == busy || e.Status == taskSetFull)
}

// verdict turns what SG_IO reports into an error, nil for a command that was carried
// out. sense is what the disk added, of either format (SPC-4, 4.5).
func verdict(status uint8, host, driver uint16, sense []byte) error {
	const driverSense = 0x08 // sense data is there; no error of its own
	// Linux before 6.1 says the same a second time, as if the host had failed.
	const nexusFailure = 0x11
	if status == reservationConflict && (host == 0 || host == nexusFailure) {
		return ErrConflict
	}
	e := &StatusError{Status: status &^ 1, Host: host, Driver: driver &^ driverSense}
	if len(sense) > 0 {
		switch sense[0] & 0x7f {
		case 0x70, 0x71:
			if len(sense) > 2 {
				e.Sense = sense[2] & 0x0f
			}
			if len(sense) > 13 {
				e.ASC, e.ASCQ = sense[12], sense[13]
			}
		case 0x72, 0x73:
			if len(sense) > 3 {
				e.Sense, e.ASC, e.ASCQ = sense[1]&0x0f, sense[2], sense[3]
			}
		}
	}
	const recovered = 0x01
	if e.Host == 0 && e.Driver == 0 && (e.Status == good || e.Status == checkCondition && e.Sense == recovered) {
		return nil
	}
	return e
}
