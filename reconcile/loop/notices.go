package loop

import (
	"maps"
	"sync"
	"time"

	"understudy/reconcile"
)

// Notice is what people were told about a group, and how often since this program
// began: as often as the credentials and endpoints of its applications were thrown
// away. The record has them all.
type Notice struct {
	App, Text string
	At        time.Time
	Count     int
}

// notices keeps the latest of each group. Flights add to it.
type notices struct {
	mu     sync.Mutex
	latest map[string]Notice
}

func (n *notices) add(s reconcile.Notify, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.latest == nil {
		n.latest = map[string]Notice{}
	}
	n.latest[s.Group] = Notice{App: s.App, Text: s.Text, At: at, Count: n.latest[s.Group].Count + 1}
}

func (n *notices) all() map[string]Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.latest)
}
