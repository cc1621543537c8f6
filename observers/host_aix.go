package observers

import (
	"context"
	"time"

	"understudy/observers/aix"
)

var system = aix.New(nil)

// pollEvery is how often this host is looked at: AIX tells nobody of a change of its
// mounts, links or processes.
const pollEvery = time.Second

// BootID makes an id of this boot of this host; see [aix.System.BootID] for how sure
// it is.
func BootID() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), LookLimit)
	defer cancel()
	return system.BootID(ctx)
}

func hostname(ctx context.Context) (string, error) { return system.Hostname(ctx) }

func newVolumes(func()) volumeObserver { return aix.NewVolumeObserver(system) }

// systemWatches is a look at every tick.
func (h *Host) systemWatches() []aWatch {
	return []aWatch{{"everything", func(ctx context.Context) error {
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
				h.changes.Fire()
			}
		}
	}}}
}
