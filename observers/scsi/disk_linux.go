package scsi

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disk is one path to a disk. Its methods may hang as long as the storage does; their
// commands have a time limit of their own, after which the kernel aborts them.
type Disk struct {
	f *os.File
}

// Open opens a path: a whole disk's block device. It is opened for reading, so that
// udev is not told of a change; nothing of it is read.
func Open(path string) (*Disk, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &Disk{f}, nil
}

// Close closes the path.
func (d *Disk) Close() error { return d.f.Close() }

// Time limits of commands. They are long: a command that the kernel must abort can end
// in a reset of the disk.
const (
	readLimit = 20 * time.Second
	outLimit  = 30 * time.Second
)

// sgIO is struct sg_io_hdr of scsi/sg.h.
type sgIO struct {
	interfaceID int32
	direction   int32
	cmdLen      uint8
	maxSense    uint8
	iovecs      uint16
	length      uint32
	data        unsafe.Pointer
	cmd         unsafe.Pointer
	sense       unsafe.Pointer
	timeout     uint32 // ms
	flags       uint32
	packID      int32
	user        unsafe.Pointer
	status      uint8
	masked      uint8
	msg         uint8
	senseLen    uint8
	host        uint16
	driver      uint16
	residual    int32
	duration    uint32
	info        uint32
	_           [4]byte
}

// Directions, as the kernel names them.
const (
	sgIOCtl   = 0x2285
	toDevice  = -2
	fromDisk  = -3
	senseRoom = 64
)

// command gives one command and repeats it while the disk asks for that. It returns how
// many bytes of data came or went.
func (d *Disk) command(cdb, data []byte, direction int32, limit time.Duration) (int, error) {
	var err error
	for range attempts {
		var n int
		if n, err = d.once(cdb, data, direction, limit); err == nil {
			return n, nil
		}
		if e, ok := errors.AsType[*StatusError](err); !ok || !e.again() {
			return 0, err
		}
	}
	return 0, err
}

func (d *Disk) once(cdb, data []byte, direction int32, limit time.Duration) (int, error) {
	sense := make([]byte, senseRoom)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&cdb[0])
	pin.Pin(&data[0])
	pin.Pin(&sense[0])
	h := &sgIO{
		interfaceID: 'S', direction: direction, cmdLen: uint8(len(cdb)), maxSense: senseRoom, length: uint32(len(data)),
		data: unsafe.Pointer(&data[0]), cmd: unsafe.Pointer(&cdb[0]), sense: unsafe.Pointer(&sense[0]),
		timeout: uint32(limit.Milliseconds()),
	}
	if _, _, no := unix.Syscall(unix.SYS_IOCTL, d.f.Fd(), sgIOCtl, uintptr(unsafe.Pointer(h))); no != 0 {
		return 0, fmt.Errorf("SG_IO: %w", no)
	}
	if err := verdict(h.status, h.host, h.driver, sense[:min(int(h.senseLen), senseRoom)]); err != nil {
		return 0, err
	}
	return max(0, len(data)-max(0, int(h.residual))), nil
}

// ask gives a PERSISTENT RESERVE IN and returns what came.
func (d *Disk) ask(action uint8, room int) ([]byte, error) {
	cdb, data := readCommand(action, room), make([]byte, room)
	n, err := d.command(cdb[:], data, fromDisk, readLimit)
	return data[:n], err
}

// Keys reads the keys that are registered.
func (d *Disk) Keys() (Keys, error) {
	for room := 8 + 8*32; ; {
		b, err := d.ask(readKeys, room)
		if err != nil {
			return Keys{}, fmt.Errorf("cannot read its keys: %w", err)
		}
		k, more, err := parseKeys(b)
		if err != nil {
			return Keys{}, fmt.Errorf("cannot read its keys: %w", err)
		}
		if more == 0 {
			return k, nil
		}
		if more <= room {
			return Keys{}, fmt.Errorf("cannot read its keys: %w", errShort)
		}
		room = more
	}
}

// Reservation reads who holds the disk.
func (d *Disk) Reservation() (Held, error) {
	b, err := d.ask(readReservation, 24)
	if err != nil {
		return Held{}, fmt.Errorf("cannot read its reservation: %w", err)
	}
	h, err := parseReservation(b)
	if err != nil {
		return Held{}, fmt.Errorf("cannot read its reservation: %w", err)
	}
	return h, nil
}

// Capabilities reads what the disk can do.
func (d *Disk) Capabilities() (Capabilities, error) {
	b, err := d.ask(reportCapabilities, 8)
	if err != nil {
		return Capabilities{}, fmt.Errorf("cannot read what it can do: %w", err)
	}
	c, err := parseCapabilities(b)
	if err != nil {
		return Capabilities{}, fmt.Errorf("cannot read what it can do: %w", err)
	}
	return c, nil
}

// Do carries out an order. Its error is an [ErrConflict] if the disk refused it.
func (d *Disk) Do(o Order) error {
	cdb, list := o.encode()
	if _, err := d.command(cdb[:], list[:], toDevice, outLimit); err != nil {
		return fmt.Errorf("%s: %w", o.Action, err)
	}
	return nil
}
