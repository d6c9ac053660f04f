package collect

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

const (
	// readers is how many artifacts are read at once, of whatever registries: each holds
	// a manifest, which may be large.
	readers = 8
	// maxHeld bounds the envelopes that are read and not yet on the ledger, in bytes.
	maxHeld = 16 * evidence.MaxEnvelope
)

// limits bound what tasks hold in memory at once. The zero value is ready.
type limits struct {
	once      sync.Once
	readers   *semaphore.Weighted
	envelopes *semaphore.Weighted // bytes
}

func (l *limits) open() *limits {
	l.once.Do(func() { l.readers, l.envelopes = semaphore.NewWeighted(readers), semaphore.NewWeighted(maxHeld) })
	return l
}

// work is one artifact on its way.
type work struct {
	tasks.Task
	*Collector
	location     string
	isRead       bool // it is one that may hold evidence
	found        sorted
	artifactType string

	sent     sync.WaitGroup
	mu       sync.Mutex
	failures []error
}

func (w *work) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, err)
}

// read reads the artifact, and hands its envelopes on. What it finds to be of no
// use for this image is in failures; an error is about the whole.
func (w *work) read(ctx context.Context, reader Registry) (more []tasks.Task, err error) {
	isRecorded, keys, err := w.lookUp(ctx, w.Task)
	if err != nil {
		return nil, err
	}
	if !isRecorded {
		return nil, &tasks.WaitingError{For: tasks.ForSubject, Cause: provenance.Errorf(provenance.NotFound, "its subject %s is not recorded in %s/%s", w.Subject.Short(), w.Host, w.Repository)}
	}
	limits := w.reading.open()
	if err := limits.readers.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer limits.readers.Release(1)
	a, err := reader.Artifact(ctx, w.Repository, w.Digest)
	if err != nil {
		return nil, err
	}
	if a.Manifests != nil {
		return w.listed(w.Task, a), nil
	}
	if !a.Subject.IsZero() && a.Subject != w.Subject {
		return nil, &tasks.FinalError{Cause: provenance.Errorf(provenance.Invalid, "its tag names %s as its subject, and it names %s itself", w.Subject.Short(), a.Subject.Short())}
	}
	w.found, w.artifactType, w.isRead = sortArtifact(a), a.ArtifactType, true
	for _, p := range w.found.pieces {
		size := max(1, min(p.layer.Size, maxHeld)) // what its annotations add is bounded by the format
		if err := limits.envelopes.Acquire(ctx, size); err != nil {
			return nil, err
		}
		release := func() { limits.envelopes.Release(size) }
		envelope, err := p.fetch(ctx, reader, w.Repository)
		var lost *tasks.FinalError
		if err != nil {
			release()
			if !errors.As(err, &lost) {
				return nil, err // the registry's: the next piece would only wait for it again
			}
			w.fail(err)
			continue
		}
		w.hand(ctx, keys, p, envelope, release)
	}
	return nil, nil
}

// hand hands an envelope on, once for each registered key that signed it. Anybody may
// register what others sign with: one whose evidence is refused stands in nobody's way.
// release is called when it is no more held.
func (w *work) hand(ctx context.Context, keys []*evidence.ParsedKey, p piece, envelope []byte, release func()) {
	var holders atomic.Int64
	holders.Store(1)
	let := func() {
		if holders.Add(-1) == 0 {
			release()
		}
	}
	defer let()
	signed, err := evidence.Signers(evidence.Request{Subject: w.Subject, Format: p.format, Envelope: envelope, Now: w.Now(), Schema: evidence.NoFacts}, keys)
	if err != nil {
		w.fail(&tasks.FinalError{For: tasks.ForKey, Cause: provenance.Errorf(provenance.BadEvidence, "%s: none of %d registered keys and trusted roots vouches for it: %v", p.format, len(keys), err)})
		return
	}
	// A signature is recorded once of an organisation's certificates: below a trusted root
	// with what proves its time, and with what the certificate says.
	slices.SortStableFunc(signed, func(a, b evidence.Signed) int { return cmp.Compare(provesTime(b.Key), provesTime(a.Key)) })
	for _, s := range signed {
		types, err := w.missing(ctx, w.Subject, s)
		if err != nil {
			w.fail(err)
			continue
		}
		if len(types) == 0 {
			w.Count("known")
		}
		for _, typ := range types {
			holders.Add(1)
			w.sent.Add(1)
			one := evidence.Piece{
				Host: string(w.Host), Repository: string(w.Repository), Digest: w.Subject.String(), Type: typ, Format: string(p.format),
				MSP: s.Key.MSP, Key: s.Key.Name, Location: w.location, Private: p.private, Envelope: envelope,
			}
			w.Batches.hand(w.Subject, cmp.Or(typ, s.Result.Type), one, func(known bool, err error) {
				defer w.sent.Done()
				defer let()
				w.ended(ctx, s, cmp.Or(typ, s.Result.Type), known, err)
			})
		}
	}
}

func provesTime(k evidence.Key) int {
	if k.Kind == evidence.TrustedRoot {
		return 1
	}
	return 0
}

// ended takes what became of a piece.
func (w *work) ended(ctx context.Context, s evidence.Signed, typ string, known bool, err error) {
	switch {
	case err != nil:
		w.fail(w.refused(ctx, s.Key.MSP, s.Result.Type, err))
	case known:
		w.Count("known")
	default:
		w.Count("recorded")
		w.Log.InfoContext(ctx, "evidence collected", slog.String("type", typ), slog.String("image", string(w.Host)+"/"+string(w.Repository)+"@"+w.Subject.String()),
			slog.String("key", s.Key.MSP+"/"+s.Key.Name), slog.String("identity", s.Result.Identity), slog.String("from", w.Digest.String()))
	}
}
