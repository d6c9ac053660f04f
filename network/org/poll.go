package org

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pollEvery is how often readiness is asked for: short beside the second or two a node needs to
// start, long beside what asking costs.
const pollEvery = 100 * time.Millisecond

// hopeless marks an error that asking again cannot mend.
type hopeless struct{ error }

func (h hopeless) Unwrap() error { return h.error }

// poll calls try until it succeeds, answers something hopeless, or ctx ends. The error then says
// what the last try said, which tells more than "deadline exceeded".
func poll(ctx context.Context, try func(context.Context) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if h := (hopeless{}); errors.As(err, &h) {
			return h.error
		}
		// What fails because ctx ended says nothing; keep what was said before.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}
