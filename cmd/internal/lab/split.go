//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// apart is the distance of the numbers of two clients: 58 days at 200 a second.
const apart = 1_000_000_000

// splitCase is the worst that a network can do: the owner is alive, is cut off
// from everybody, and has a client of its own that goes on writing, while the
// others have theirs. The power controller is not on the network, so the standby
// can prove that the owner is off. Every answer that either client ever got must
// be in the file at the end.
var splitCase = stageCase{
	name: "splitbrain", title: "owner cut off, with clients on both sides",
	prepare: func(ctx context.Context, s *stage, owner string) error {
		s.parts++
		local, err := s.ClientOn(ctx, owner, netip.AddrPortFrom(ServiceAddress.Addr(), ServicePort), int64(s.parts)*apart)
		if err != nil {
			return err
		}
		s.local = local
		return local.Answered(ctx, 0, 20)
	},
	strike: func(ctx context.Context, s *stage, owner string) error {
		s.cutAt = time.Duration(monotonic())
		return s.Cut(ctx, owner)
	},
	moves: true,
	mend: func(ctx context.Context, s *stage, owner string) error {
		// The client died with its host; what it was told did not.
		all, err := s.local.recorded()
		if err != nil {
			return err
		}
		before := s.cutOff
		for _, a := range all {
			s.also = append(s.also, a.number)
			if time.Duration(a.at) > s.cutAt {
				s.cutOff++
			}
		}
		if s.cutOff == before {
			return fmt.Errorf("cannot call this a split: the client on %s had no answer after the cut", owner)
		}
		if err := s.Heal(ctx, owner); err != nil {
			return err
		}
		return s.Start(ctx, owner) // it was fenced
	},
}
