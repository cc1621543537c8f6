package config_test

import (
	"fmt"
	"strings"
	"testing"

	"understudy/config"
)

// large is a file of n groups on 8 nodes.
func large(n int) []byte {
	var b strings.Builder
	b.WriteString("cluster = \"large\"\n[witness]\naddress = \"10.0.255.1\"\n")
	for i := range 8 {
		fmt.Fprintf(&b, "[node.n%d]\naddresses = { a = \"10.0.0.%d/16\", b = \"10.1.0.%d/16\" }\nfence = { agent = \"fence_x\" }\n", i, i+1, i+1)
	}
	for i := range n {
		fmt.Fprintf(&b, `
[group.g%[1]d]
nodes = ["n%[2]d", "n%[3]d"]
[[group.g%[1]d.address]]
label = "svc%[1]d"
prefix = "10.0.%[4]d.%[5]d/16"
[[group.g%[1]d.filesystem]]
mount = "/srv/g%[1]d"
device = "/dev/vg%[1]d/data"
type = "ext4"
[[group.g%[1]d.application]]
name = "server"
start = ["/usr/sbin/server", "start", "%[1]d"]
stop = ["/usr/sbin/server", "stop", "%[1]d"]
daemons = [{ name = "server", match = "^server %[1]d$" }]
`, i, i%8, (i+1)%8, 1+i/250, 1+i%250)
	}
	return []byte(b.String())
}

func BenchmarkParse1000(b *testing.B) {
	data := large(1000)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := config.Parse("large.toml", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExplain1000(b *testing.B) {
	c, err := config.Parse("large.toml", large(1000))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		config.Explain(c)
	}
}
