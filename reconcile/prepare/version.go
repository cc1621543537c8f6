package prepare

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// numbers is a version: numbers with dots.
var numbers = regexp.MustCompile(`\d+(?:\.\d+)*`)

// Version finds the version in what a command printed: the first numbers with a dot
// between them, or else the first number; "" if there is none.
func Version(text string) string {
	all := numbers.FindAllString(text, -1)
	for _, v := range all {
		if strings.Contains(v, ".") {
			return v
		}
	}
	if len(all) > 0 {
		return all[0]
	}
	return ""
}

// CompareVersions compares as numbers, part by part; a part that is missing is zero:
// 3.1 is less than 3.10 and equal to 3.1.0. Parts that are no numbers count as zero.
func CompareVersions(a, b string) int {
	x, y := parts(a), parts(b)
	for len(x) < len(y) {
		x = append(x, 0)
	}
	for len(y) < len(x) {
		y = append(y, 0)
	}
	return slices.CompareFunc(x, y, cmp.Compare[uint64])
}

func parts(v string) []uint64 {
	var out []uint64
	for p := range strings.SplitSeq(v, ".") {
		n, err := strconv.ParseUint(p, 10, 64)
		if err != nil && len(p) > 18 {
			n = 1<<64 - 1 // too long for a number, and so larger than any
		}
		out = append(out, n)
	}
	return out
}
