package act

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How long paths to a disk are waited for: for the first that answers, and for the
// others from then on.
const (
	firstPath  = 10 * time.Second
	otherPaths = 2 * time.Second
)

var errNoAnswer = errors.New("it does not answer")

// answering asks all of the paths at once and returns what those said that answered, in
// the order of paths, and why the others did not. One that hangs in the kernel holds the
// others up for a moment only; what it says later is dropped, and until then it is not
// asked again.
func answering[T any](ctx context.Context, f *flights, paths []string, ask func(string) (T, error), drop func(T)) (got []T, failed []error) {
	ctx, give := context.WithCancelCause(ctx)
	defer give(nil)
	type answer struct {
		i   int
		is  T
		err error
	}
	answers := make(chan answer, len(paths))
	for i, path := range paths {
		go func() {
			a := answer{i: i}
			var is T
			a.err = f.do(ctx, "ask "+path, func() (err error) {
				is, err = ask(path)
				return err
			}, func(err error) {
				if err == nil {
					drop(is)
				}
			})
			if a.err == nil {
				a.is = is
			}
			answers <- a
		}()
	}
	limit := time.NewTimer(firstPath)
	defer limit.Stop()
	all := make([]answer, len(paths))
	for n := 0; n < len(paths); {
		select {
		case a := <-answers:
			all[a.i] = a
			n++
			if a.err == nil {
				limit.Reset(otherPaths)
			}
		case <-limit.C:
			give(errNoAnswer) // and the rest comes back at once
		}
	}
	for i, a := range all {
		if a.err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", paths[i], a.err))
			continue
		}
		got = append(got, a.is)
	}
	return got, failed
}
