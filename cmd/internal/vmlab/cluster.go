//go:build linux

package vmlab

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"
)

// timers are those of a cluster whose machines are emulated: each is some times
// slower than a real one, and may stand still for seconds.
const timers = `
[lease]
ttl      = "60s"
renew    = "6s"
request  = "18s"
margin   = "10s"
tick     = "2s"
election = "15s"

[keepalive]
interval = "1s"
timeout  = "10s"
`

// ttl is that of the timers.
const ttl = time.Minute

// machines are n1 and n2 as nodes, fenced through the lab, and n3 as the witness.
const machines = `
[witness]
addresses = { public = "10.77.0.3/24", storage = "10.77.1.3/24" }

[node.n1]
addresses = { public = "10.77.0.1/24", storage = "10.77.1.1/24" }
fence     = { agent = "fence_vmlab", options = { plug = "n1" } }

[node.n2]
addresses = { public = "10.77.0.2/24", storage = "10.77.1.2/24" }
fence     = { agent = "fence_vmlab", options = { plug = "n2" } }
`

// cluster is a file and its key, and how they get to the guests.
type cluster struct{ file, key string }

func newCluster(groups string) cluster {
	var k [32]byte
	_, _ = rand.Read(k[:]) // never fails (crypto/rand)
	return cluster{"cluster = \"vmlab\"\n" + timers + machines + groups, base64.StdEncoding.EncodeToString(k[:]) + "\n"}
}

// local mounts the guest's own disk where understudy keeps its state: all else of a
// guest is lost with its power.
const local = `set -e; blkid /dev/vdb >/dev/null || mkfs.ext4 -q /dev/vdb
mkdir -p /var/lib/understudy; mountpoint -q /var/lib/understudy || mount /dev/vdb /var/lib/understudy; chmod 700 /var/lib/understudy; rm -rf /var/lib/understudy/lost+found`

// configure puts the file and the key on a guest that has booted.
func (c cluster) configure(ctx context.Context, s *Stage, node string) error {
	if _, err := s.must(ctx, node, local); err != nil {
		return err
	}
	if err := s.Put(ctx, node, "/etc/understudy/understudy.toml", 0o644, c.file); err != nil {
		return err
	}
	return s.Put(ctx, node, "/etc/understudy/cluster.key", 0o600, c.key)
}

// serves starts understudy on all three guests, and waits until n1 serves and n2
// stands by.
func (c cluster) serves(ctx context.Context, s *Stage, standsBy claim) error {
	s.title("understudy starts on all three; n1 is the group's home")
	for _, node := range []string{"n3", "n2", "n1"} {
		if err := c.run(ctx, s, node); err != nil {
			return err
		}
	}
	if err := s.await(ctx, claim{"n1 writes to the shared file system", "n1", "cat /run/writer.last", "n1 "}); err != nil {
		return err
	}
	return s.await(ctx, standsBy)
}

// run starts understudy on a guest; n3 is the witness.
func (c cluster) run(ctx context.Context, s *Stage, node string) error {
	verb := "run"
	if node == "n3" {
		verb = "witness"
	}
	_, err := s.Start(ctx, node, "exec understudy "+verb+" >>/var/lib/understudy/run.log 2>&1")
	return err
}
