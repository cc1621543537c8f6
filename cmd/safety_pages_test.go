package cmd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The pages that argue for safety, and how many ways of going wrong one of them answers.
const (
	safety     = "../docs/safety.md"
	subtleties = "../docs/subtleties.md"
	security   = "../docs/security.md"
	ways       = 44
)

var (
	named  = regexp.MustCompile(`^[a-z0-9]+\.(?:Test|Fuzz)\w+$|\.txtar(#[\w-]+)?$`)
	answer = regexp.MustCompile(`^\| (\d+) \|`)
	isOpen = regexp.MustCompile(`[.|] open: `)
)

// TestSafetyPagesNameRealTests holds the pages to what is there, and the list of ways
// of going wrong to its number: each has a test, or says why none is needed, or is
// open; the page says how many are.
func TestSafetyPagesNameRealTests(t *testing.T) {
	tests := testsByPackage(t)
	for _, page := range []string{safety, subtleties, security} {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		seen, open := 0, 0
		for n, line := range strings.Split(string(data), "\n") {
			bad := func(format string, args ...any) {
				t.Helper()
				t.Errorf("%s:%d: %s", filepath.Base(page), n+1, fmt.Sprintf(format, args...))
			}
			shown := 0
			for _, q := range quoted.FindAllStringSubmatch(line, -1) {
				if !named.MatchString(q[1]) {
					continue
				}
				shown++
				if err := exists(q[1], tests); err != nil {
					bad("%v", err)
				}
			}
			m := answer.FindStringSubmatch(line)
			if page != subtleties || m == nil {
				continue
			}
			seen++
			if m[1] != fmt.Sprint(seen) {
				bad("is number %s, want %d", m[1], seen)
			}
			if len(strings.Split(strings.Trim(line, "|"), "|")) != 3 {
				bad("does not have three cells")
			}
			if isOpen.MatchString(line) {
				open++
			} else if shown == 0 && !strings.Contains(line, "annot happen: ") {
				bad("has neither a test nor a reason, and is not open")
			}
		}
		if page != subtleties {
			continue
		}
		if sum := fmt.Sprintf("%d of the %d have something open", open, ways); seen != ways || !strings.Contains(string(data), sum) {
			t.Errorf("%d ways, and the page does not say: %s", seen, sum)
		}
	}
}
