package autorelease

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// releaseAuto is the transaction that completes a promotion whose rules are met.
const releaseAuto = "release:Auto"

// Index is the index as the releaser sees it.
type Index interface {
	state.Reader
	Promotions(f readmodel.PromotionFilter, p readmodel.Page) ([]state.Promotion, string, error)
}

var _ Index = (*index.Snapshot)(nil)

// submitter brings a transaction of this gateway onto the ledger; the same twice is
// success without a second write.
type submitter interface {
	SubmitTransient(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error)
}

// Releaser completes open promotions when their last rule comes to be met. It
// only asks: the contract alone decides, and where several gateways ask, one of
// them is first and the others find it done. A time that has come makes no
// block, so it looks every minute as well.
type Releaser struct {
	MSP    string
	View   func(ctx context.Context, read func(Index) error) error
	Ledger submitter
	Log    *slog.Logger
	Count  func(outcome string)
	Now    func() time.Time
	limits releaseLimits

	Woken    chan struct{} // of size 1
	attempts map[string]attempt
	policies policy.Cache
}

// releasesOut is how many releases are asked for at once.
const releasesOut = 8

type releaseLimits struct {
	every  time.Duration // between looks without a block
	pause  time.Duration // least time between looks
	jitter time.Duration // so that gateways do not ask in the same moment
	again  time.Duration // before one promotion is asked for again; doubles
	most   time.Duration
}

func defaultReleaseLimits() releaseLimits {
	return releaseLimits{every: time.Minute, pause: time.Second, jitter: 500 * time.Millisecond, again: 2 * time.Second, most: 10 * time.Minute}
}

// attempt is what came of asking for one attempt of a promotion.
type attempt struct {
	next  time.Time
	times int
}

// Wake says that the ledger has grown.
func (r *Releaser) Wake() {
	select {
	case r.Woken <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends. It fails only when the index does.
func (r *Releaser) Run(ctx context.Context) error {
	if r.limits == (releaseLimits{}) {
		r.limits = defaultReleaseLimits()
	}
	r.attempts = map[string]attempt{}
	for {
		next, err := r.look(ctx)
		if err != nil {
			return err
		}
		if err := wait.For(ctx, r.limits.pause); err != nil {
			return err
		}
		timer := time.NewTimer(min(r.limits.every, max(0, next)))
		select {
		case <-r.Woken:
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		timer.Stop()
	}
}

// look asks for every release that is due, and returns when to look again.
func (r *Releaser) look(ctx context.Context) (next time.Duration, err error) {
	next = r.limits.every
	due, open, err := r.due(ctx)
	if err != nil {
		return next, err
	}
	for key := range r.attempts {
		if !open[key] {
			delete(r.attempts, key)
		}
	}
	var group errgroup.Group // releases of one moment share blocks
	group.SetLimit(releasesOut)
	for _, p := range due {
		key := attemptKey(p)
		was := r.attempts[key]
		if wait := was.next.Sub(r.Now()); wait > 0 {
			next = min(next, wait)
			continue
		}
		group.Go(func() error {
			err := wait.For(ctx, rand.N(r.limits.jitter+1))
			if err == nil {
				r.release(ctx, p)
			}
			return err
		})
		wait := min(r.limits.again<<min(was.times, 12), r.limits.most)
		r.attempts[key] = attempt{r.Now().Add(wait), was.times + 1}
		next = min(next, wait)
	}
	if err := group.Wait(); err != nil {
		return next, err
	}
	return next, ctx.Err()
}

func attemptKey(p state.Promotion) string { return p.ApprovalKey(p.Attempt, "") }

// release asks for one release. A promotion that is still open afterwards is
// looked at again: the contract may have changed its gate first.
func (r *Releaser) release(ctx context.Context, p state.Promotion) {
	about := []any{slog.String("stage", p.Stage), slog.String("image", string(p.Host)+"/"+string(p.Repository)+"@"+p.Digest.String())}
	_, err := r.Ledger.SubmitTransient(ctx, nil, releaseAuto, string(p.Host), string(p.Repository), p.Digest.String(), p.Stage)
	switch code := provenance.CodeOf(err); {
	case ctx.Err() != nil:
	case err == nil:
		r.Count("asked")
		r.Log.InfoContext(ctx, "release asked for", about...)
	case code == provenance.Conflict, code == provenance.Denied, code == provenance.Stale, code == provenance.Quarantined, code == provenance.NotFound:
		// Another gateway was first, or a fact changed under way: the next look tells.
		r.Count("overtaken")
		r.Log.DebugContext(ctx, "release not taken", append(about, slog.Any("error", err))...)
	default:
		r.Count("failed")
		r.Log.WarnContext(ctx, "release cannot be asked for", append(about, slog.Any("error", err))...)
	}
}

// due lists the open promotions that may be released now and that this
// organisation may complete, and the keys of all open ones.
func (r *Releaser) due(ctx context.Context) (due []state.Promotion, open map[string]bool, err error) {
	open = map[string]bool{}
	// What has expired is not looked at for ever.
	filter := readmodel.PromotionFilter{Status: state.PromotionOpen, Since: r.Now().Add(-state.PromotionLife)}
	err = r.View(ctx, func(reads Index) error {
		for page := (readmodel.Page{Size: readmodel.MaxPage}); ; {
			promotions, token, err := reads.Promotions(filter, page)
			if err != nil {
				return err
			}
			for _, p := range promotions {
				open[attemptKey(p)] = true
				ready, err := r.ready(reads, p)
				if err != nil {
					// One promotion must not stand before the others.
					r.Log.WarnContext(ctx, "promotion not judged", slog.String("stage", p.Stage), slog.String("digest", p.Digest.String()), slog.Any("error", err))
				} else if ready {
					due = append(due, p)
				}
			}
			if page.Token = token; token == "" {
				return nil
			}
		}
	})
	return due, open, err
}

func (r *Releaser) ready(reads state.Reader, p state.Promotion) (bool, error) {
	rules, version, err := state.LoadPolicy(state.WithPolicyCache(reads, &r.policies), p.Host, p.Repository)
	if err != nil || rules == nil {
		return false, err
	}
	stage, ok := rules.Stage(p.Stage)
	if !ok || !concerns(stage, r.MSP) {
		return false, nil
	}
	var current state.Current
	if _, err := state.Read(reads, p.ReleaseKey(), &current); err != nil || current.Pinned {
		return false, err
	}
	j, err := state.JudgeBy(reads, p.Subject, rules, version, r.Now())
	if err != nil {
		return false, err
	}
	return j.Verdict.Releasable && !j.Facts.Released, nil
}

// concerns tells whether the rules of a stage name an organisation, or nobody.
func concerns(s policy.Stage, msp string) bool {
	named := slices.Clone(s.Approvals.Orgs)
	for _, e := range s.Evidence {
		for _, signer := range e.Signers {
			if signer.Org != "" { // else whom a shared root names, who is of no organisation
				named = append(named, signer.Org)
			}
		}
	}
	if s.Witnesses != nil {
		named = append(named, s.Witnesses.Orgs...)
	}
	return len(named) == 0 || slices.Contains(named, msp)
}
