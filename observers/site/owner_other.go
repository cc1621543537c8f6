//go:build unix && !aix

package site

func owner(uid uint32) int { return int(uid) }
