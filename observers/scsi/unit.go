package scsi

// System is where the kernel shows its devices. The zero value is this host's.
type System struct {
	Sys string // "" for /sys
	Dev string // "" for /dev
}

func (s System) sys() string {
	if s.Sys == "" {
		return "/sys"
	}
	return s.Sys
}

func (s System) dev() string {
	if s.Dev == "" {
		return "/dev"
	}
	return s.Dev
}

// Unit is one disk (a logical unit) with the paths that lead to it.
type Unit struct {
	ID    string   // its own designation, "naa.…"; "" if it tells none
	Paths []string // block devices: "/dev/sdb"; at least one
	// Up are those of the paths that work, as far as the kernel knows; all of them if
	// it knows of none that does.
	Up []string
	// Partly: something in between uses a part of it only, a partition as a rule. A
	// reservation is of the whole.
	Partly bool
}

// Name is the kernel's name of its first path.
func (u Unit) Name() string {
	p := u.Paths[0]
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] == '/' {
			return p[i+1:]
		}
	}
	return p
}
