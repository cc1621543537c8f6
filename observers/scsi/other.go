//go:build !linux

package scsi

import (
	"errors"
	"fmt"
	"runtime"
)

// Disk is one path to a disk. There is none on this system.
type Disk struct{}

var errSystem = fmt.Errorf("persistent reservations are not done on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Open fails on this system.
func Open(string) (*Disk, error) { return nil, errSystem }

// Close does nothing.
func (d *Disk) Close() error { return nil }

// Keys fails on this system.
func (d *Disk) Keys() (Keys, error) { return Keys{}, errSystem }

// Reservation fails on this system.
func (d *Disk) Reservation() (Held, error) { return Held{}, errSystem }

// Capabilities fails on this system.
func (d *Disk) Capabilities() (Capabilities, error) { return Capabilities{}, errSystem }

// Do fails on this system.
func (d *Disk) Do(Order) error { return errSystem }

// Below fails on this system.
func Below(System, ...string) ([]Unit, error) { return nil, errSystem }
