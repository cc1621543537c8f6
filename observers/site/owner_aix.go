package site

// bin installs /usr, /var and most of what is in them on AIX; nobody can log in as it.
const bin = 2

// owner is root for files that the system itself installed.
func owner(uid uint32) int {
	if uid == bin {
		return 0
	}
	return int(uid)
}
