package config_test

import (
	"strings"
	"testing"
	"time"

	"understudy/config"
)

// workedDisk is the example of the reference: two nodes and nothing but the disk.
func workedDisk(t *testing.T) string {
	t.Helper()
	_, text, found := strings.Cut(read(t, "reference.toml"), "Two nodes and nothing but the shared disk, in 20 s:\n")
	if !found {
		t.Fatal("the example has another title")
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		if example, ok := strings.CutPrefix(line, "     "); ok {
			b.WriteString(example)
		}
	}
	return b.String() + `
[group.db]
nodes = ["alpha", "beta"]
[[group.db.address]]
label  = "dbsvc"
prefix = "10.7.0.50/24"
[[group.db.application]]
name = "server"
run  = ["/usr/sbin/db"]
`
}

// The worked example of the reference is as it must be, with its times and with the
// shorter ones that are named below it; a second less of margin, and `check` says so.
func TestTheTimesOfTheSharedDiskFit(t *testing.T) {
	text := workedDisk(t)
	c, findings := config.Check("worked.toml", []byte(text))
	if len(findings) > 0 || c.WatchdogBound() != c.Lease.TTL {
		t.Fatalf("%v, bound %s", findings, c.WatchdogBound())
	}
	for was, is := range map[string]string{`"20s"`: `"10s"`, `"9s" `: `"4500ms" `, `"1s"`: `"500ms"`, `"6s"`: `"3s"`, `"2s" `: `"500ms" `} {
		if !strings.Contains(text, was) {
			t.Fatalf("no %s in %s", was, text)
		}
		text = strings.ReplaceAll(text, was, is)
	}
	c, findings = config.Check("worked.toml", []byte(text))
	if len(findings) > 0 || c.Lease.TTL != 10*time.Second || c.WatchdogBound() != c.Lease.TTL {
		t.Fatalf("%v, %+v %s", findings, c.Lease, c.WatchdogBound())
	}
	_, findings = config.Check("worked.toml", []byte(strings.Replace(text, `"4500ms"`, `"3500ms"`, 1)))
	if len(findings) != 1 || !strings.Contains(findings[0].String(), "= 11s is more than ttl 10s") {
		t.Errorf("%v", findings)
	}
}
