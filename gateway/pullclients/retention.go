package pullclients

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/statefile"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// purgeClients is the transaction that removes what a segment hides from our
// organisation's private data collection.
const purgeClients = "record:PurgeClients"

// RetentionFile holds how far the clients of each registry's pulls are purged. It
// is disposable: without it all segments are gone through again, and what was
// purged is found purged.
const RetentionFile = "retain.json"

// Retention has the clients of pulls purged once they are as old as their
// registry's setting says, counted from when the segment was recorded: the
// clock of a registry could put it off. It does not matter whether they are
// kept yet: what is purged is never kept.
type Retention struct {
	Index   *index.Index
	Ledger  privateLedger
	Waits   *wait.Reasons
	Log     *slog.Logger
	MSP     string
	Path    string
	Keep    map[provenance.Host]time.Duration // registries without one are not in it
	Purged  func()                            // a segment was
	page    int
	backoff time.Duration

	done map[provenance.Host]index.Position
}

// NewRetention reads how far it was; keep has the registries whose clients get old.
func NewRetention(r Retention) (*Retention, error) {
	r.page, r.backoff = 100, 30*time.Second
	return &r, r.load()
}

func (r *Retention) load() error {
	err := statefile.Read(r.Path, &r.done)
	if r.done == nil { // no file, or one that says null
		r.done = map[provenance.Host]index.Position{}
	}
	return err
}

// Run purges until ctx ends, and returns its error. It looks often enough that
// nothing is kept longer by more than a tenth, or by ten minutes.
func (r *Retention) Run(ctx context.Context) error {
	if len(r.Keep) == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	const source = "retention"
	every := 10 * time.Minute
	for _, keep := range r.Keep {
		every = min(every, max(keep/10, time.Second))
	}
	for {
		err := r.pass(ctx, time.Now())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause := every
		if err == nil {
			r.Waits.End(source)
		} else {
			pause = min(pause, r.backoff)
			if r.Waits.Begin(source, err) {
				r.Log.WarnContext(ctx, "purging the clients of old pulls waits", slog.Any("error", err))
			}
		}
		if err := wait.For(ctx, pause); err != nil {
			return err
		}
	}
}

// pass purges all that is due at a time. A registry that fails does not keep
// the others waiting; it returns the first failure.
func (r *Retention) pass(ctx context.Context, now time.Time) error {
	var first error
	for host, keep := range r.Keep {
		first = firstOf(first, r.registry(ctx, host, now.Add(-keep)))
	}
	return first
}

// registry purges what was recorded before a time, in the order of the ledger.
func (r *Retention) registry(ctx context.Context, host provenance.Host, before time.Time) error {
	for {
		var segments []index.PullSegment
		err := r.Index.View(ctx, func(s *index.Snapshot) (err error) {
			segments, err = s.PullSegments(host, r.done[host], before, r.page)
			return err
		})
		if err != nil {
			return err
		}
		for _, s := range segments {
			if err := r.purge(ctx, host, s); err != nil {
				return errors.Join(err, r.save())
			}
			r.done[host] = s.At
		}
		if len(segments) == 0 {
			return nil
		}
		if err := r.save(); err != nil {
			return err
		}
	}
}

func (r *Retention) purge(ctx context.Context, host provenance.Host, s index.PullSegment) error {
	if !s.Hides || s.By.MSP != r.MSP { // another organisation keeps, and purges, its own
		return nil
	}
	result, err := r.Ledger.SubmitPrivate(ctx, nil, purgeClients, string(host), s.Lane, strconv.FormatUint(s.Number, 10))
	if err != nil {
		return provenance.Wrap(provenance.CodeOf(err), err, "purge clients of segment %s/%d", s.Lane, s.Number)
	}
	if result.Block > 0 { // else it was purged before
		r.Purged()
	}
	return nil
}

func (r *Retention) save() error {
	b, err := json.Marshal(r.done)
	if err == nil {
		err = statefile.Replace(r.Path, b)
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "save how far clients are purged")
	}
	return nil
}
