package record

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// split halves a batch that cannot stand as one segment, and sets the last
// culprit aside. The halves keep their order: where the first goes back to
// waiting, the second does too.
func (l *lane) split(ctx context.Context, items []queue.Item, read *manifests, cause error) (settled bool, err error) {
	if len(items) == 1 {
		return true, l.deadLetter(ctx, items[0], cause.Error())
	}
	half := len(items) / 2
	settled, err = l.record(ctx, items[:half], read)
	if err != nil {
		return false, err
	}
	if !settled {
		l.Queue.Return(items[half:])
		return false, nil
	}
	return l.record(ctx, items[half:], read)
}

// superseded handles a number that the ledger holds with other bytes: this
// queue is an old copy of one that went on, so that nobody can tell here which
// of its items are recorded. They are set aside for an operator, who can, and
// the number is used up.
func (l *lane) superseded(ctx context.Context, s queue.Segment, items []queue.Item, cause error) (settled bool, err error) {
	l.Log.ErrorContext(ctx, "the ledger is ahead of this queue", slog.String("lane", s.LaneName), slog.Uint64("seq", s.Seq), slog.Int("events set aside", len(items)), slog.Any("error", cause))
	return true, l.Queue.Supersede(ctx, l.number, s.Seq, items, "the queue's file is older than the ledger, this event may be recorded already: "+cause.Error())
}

// giveBack gives a whole batch back for a reason that lies outside its items: a
// grant is missing, the registry is not on the ledger, the contract failed.
// Somebody mends it, and then nothing is lost; until then other registries of
// this lane go on.
func (l *lane) giveBack(ctx context.Context, items []queue.Item, cause error) error {
	l.wait(ctx, cause)
	return l.Queue.Release(ctx, items, time.Now().Add(l.Limits.delay(items[0].Attempts)), cause.Error())
}

// bisect finds whose events the contract refuses where it does not take a batch of
// several repositories: a registry may have many owners, and one repository that
// is not ours must not hold up the others. What is another organisation's is set
// aside; the rest waits, as in hold.
func (l *lane) bisect(ctx context.Context, items []queue.Item, read *manifests, cause error) (settled bool, err error) {
	var repos []provenance.Repository
	for _, it := range items {
		if !slices.Contains(repos, it.Event.Repository) {
			repos = append(repos, it.Event.Repository)
		}
	}
	if len(repos) == 1 {
		return l.refuse(ctx, items, cause)
	}
	settled = true
	var first, second []queue.Item
	for _, it := range items {
		if slices.Contains(repos[:len(repos)/2], it.Event.Repository) {
			first = append(first, it)
		} else {
			second = append(second, it)
		}
	}
	for _, half := range [][]queue.Item{first, second} { // no order holds between them
		ok, err := l.record(ctx, half, read)
		if err != nil {
			return false, err
		}
		settled = settled && ok
	}
	return settled, nil
}

// refuse handles the items of one repository that the contract does not take.
func (l *lane) refuse(ctx context.Context, items []queue.Item, cause error) (settled bool, err error) {
	host, repo := items[0].Host, items[0].Event.Repository
	if l.OwnerElsewhere != nil {
		if owner := l.OwnerElsewhere(ctx, host, repo); owner != "" {
			why := make([]string, len(items))
			for i := range why {
				why[i] = string(host) + "/" + string(repo) + " belongs to " + owner + ", whose gateways record it: " + cause.Error()
			}
			l.Waits.End(l.source(host, repo))
			return true, l.deadLetters(ctx, items, why)
		}
	}
	// It is told apart from why the lane waits, which the next segment ends.
	if l.Waits.Begin(l.source(host, repo), cause) {
		l.Log.WarnContext(ctx, "recording waits", slog.String("lane", l.name), slog.String("repository", string(host)+"/"+string(repo)), slog.Any("error", cause))
	}
	l.refused = append(l.refused, items...)
	return false, l.Queue.Release(ctx, items, time.Now().Add(l.Limits.delay(items[0].Attempts)), cause.Error())
}

// postponeRefused keeps the repositories that were refused waiting for three times what
// their refusals took, if that is longer than their delay. To find them, each is asked
// for alone: where there are so many that their delays are over by then, they would
// be the oldest that are due again, and no other repository would ever be. How long
// the ledger was away meanwhile does not count.
func (l *lane) postponeRefused() {
	l.Queue.Postpone(l.refused, time.Now().Add(3*l.refusals))
	l.refused = nil
}

func (l *lane) source(host provenance.Host, repo provenance.Repository) string {
	return l.name + ", " + string(host) + "/" + string(repo)
}

func (l *lane) deadLetter(ctx context.Context, it queue.Item, reason string) error {
	return l.deadLetters(ctx, []queue.Item{it}, []string{reason})
}

// deadLetters sets items aside, each with its reason. What has moved on by another hand is left.
func (l *lane) deadLetters(ctx context.Context, items []queue.Item, why []string) error {
	const told = 20 // a line each; of thousands the list in the queue tells
	for i, it := range items[:min(told, len(items))] {
		l.Log.WarnContext(ctx, "event set aside", slog.Int64("item", it.ID), slog.String("registry", string(it.Host)), slog.String("action", it.Event.Action.String()),
			slog.String("repository", string(it.Event.Repository)), slog.String("digest", it.Event.Digest.String()), slog.String("reason", why[i]))
	}
	if n := len(items) - told; n > 0 {
		l.Log.WarnContext(ctx, "more events set aside", slog.Int("events", n), slog.String("lane", l.name))
	}
	_, err := l.Queue.DeadLetterAll(ctx, items, why)
	return err
}

// pause is a new back-off.
func (s Limits) pause() *backoff.ExponentialBackOff {
	return wait.Backoff(s.Backoff, s.BackoffMax)
}

// delay is the pause before another attempt with an item.
func (s Limits) delay(attempts int) time.Duration {
	return min(s.Backoff<<min(attempts, 10), s.BackoffMax)
}
