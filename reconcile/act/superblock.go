package act

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// superblockBytes is how much of a device is read to recognise its file system:
// the btrfs superblock lies at 64 KiB.
const superblockBytes = 65536 + 4096

// superblock is what a device says of the file system on it.
type superblock struct {
	family  string // "ext", "xfs", "btrfs"; "" if it is none of these
	errors  bool   // ext: the kernel has noted errors (EXT4_ERROR_FS)
	clean   bool   // ext: it was unmounted in order (EXT4_VALID_FS)
	journal bool   // ext: it has one
	replay  bool   // ext: the journal must be replayed, which a mount does
	mmp     bool   // ext: multi-mount protection is on

	mmpOffset int64 // of the MMP block, bytes
}

// Layout of the ext2/3/4 superblock: kernel documentation,
// filesystems/ext4/super.rst. Offsets from the start of the superblock, which
// lies at byte 1024.
const (
	extAt            = 1024
	extLogBlockSize  = 0x18
	extMagic         = 0x38 // 0xEF53
	extState         = 0x3A // 1 cleanly unmounted, 2 errors detected
	extCompat        = 0x5C // 4: has a journal
	extIncompat      = 0x60 // 4: needs recovery, 0x100: MMP
	extMMPBlock      = 0x168
	extCompatJournal = 0x4
	extNeedsRecovery = 0x4
	extHasMMP        = 0x100
)

// readSuperblock recognises the file systems whose state matters before a mount.
// b is the beginning of the device; a short one is no error.
func readSuperblock(b []byte) superblock {
	if len(b) >= extAt+1024 {
		sb := b[extAt:]
		if binary.LittleEndian.Uint16(sb[extMagic:]) == 0xEF53 {
			state := binary.LittleEndian.Uint16(sb[extState:])
			incompat := binary.LittleEndian.Uint32(sb[extIncompat:])
			out := superblock{
				family:  "ext",
				clean:   state&1 != 0,
				errors:  state&2 != 0,
				journal: binary.LittleEndian.Uint32(sb[extCompat:])&extCompatJournal != 0,
				replay:  incompat&extNeedsRecovery != 0,
				mmp:     incompat&extHasMMP != 0,
			}
			if logSize := binary.LittleEndian.Uint32(sb[extLogBlockSize:]); out.mmp && logSize <= 6 {
				if block := binary.LittleEndian.Uint64(sb[extMMPBlock:]); block < 1<<46 {
					out.mmpOffset = int64(block) << (10 + logSize)
				}
			}
			return out
		}
	}
	if len(b) >= 4 && string(b[:4]) == "XFSB" {
		return superblock{family: "xfs"}
	}
	if len(b) >= 65536+72 && string(b[65536+64:65536+72]) == "_BHRfS_M" {
		return superblock{family: "btrfs"}
	}
	return superblock{}
}

// family is what readSuperblock calls a declared type, "" if it does not know it.
func family(fstype string) string {
	switch fstype {
	case "ext2", "ext3", "ext4":
		return "ext"
	case "xfs", "btrfs":
		return fstype
	}
	return ""
}

// mustCheck reports whether a check has to run before the mount. A journal that
// is merely dirty is replayed by the mount; without a journal nothing is.
func (s superblock) mustCheck() bool {
	return s.family == "ext" && (s.errors || !s.journal && !s.clean)
}

// mmpHolder reads who wrote an ext4 multi-mount protection block last, for the
// error of a mount that it refused. Kernel: struct mmp_struct in fs/ext4/ext4.h.
func mmpHolder(b []byte) string {
	if len(b) < 112 || binary.LittleEndian.Uint32(b) != 0x004D4D50 {
		return ""
	}
	text := func(b []byte) string {
		if i := bytes.IndexByte(b, 0); i >= 0 {
			b = b[:i]
		}
		return string(b)
	}
	return fmt.Sprintf("multi-mount protection was last written by node %q, device %q", text(b[16:80]), text(b[80:112]))
}
