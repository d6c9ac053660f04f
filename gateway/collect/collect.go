package collect

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

// Registry reads the artifacts of one registry.
type Registry interface {
	blobReader
	Artifact(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Artifact, error)
}

// Collector makes evidence of what is pushed beside an image: cosign
// signatures and attestations under their tags or as referrers, Sigstore
// bundles and Notation signatures. It vouches for nothing itself: it finds the
// registered key or trusted root that verifies it, and the contract verifies again. What is neither
// evidence nor known to be of no interest is set aside with its reason: an unsigned
// document, for which a person can vouch with "waybill attest", and what nobody here
// can read. The attestation manifests that BuildKit puts inside an index refer to
// nothing and are signed by nobody: they come here by a person's word alone.
type Collector struct {
	View       func(ctx context.Context, read func(state.Scanner) error) error
	Registries func(host provenance.Host) (Registry, bool)
	Batches    *Batches // which somebody runs
	Log        *slog.Logger
	Count      func(outcome string)
	Now        func() time.Time
	// TrustVersion changes after the trust material that View shows changed; nil: nobody
	// tells, and it is read for every task.
	TrustVersion func() uint64
	keysOf       int      // of one member; 0 means maxKeys
	told         sync.Map // members of which not every key is tried
	parsed       evidence.KeyCache
	trust        kept
	reading      limits
}

const (
	// maxKeys is how many keys of one member are tried. Each member has its own
	// share: whoever registers many keeps nobody's out.
	maxKeys   = 10_000
	maxPieces = 4096 // of evidence of one image that are looked through
	// documentAttempts is how often, in about a minute, it is looked whether a
	// person has vouched for an unsigned document; fewer than workLimits.attempts.
	documentAttempts = 5
)

// Do carries one artifact to the ledger. Doing it again finds what is there.
func (c *Collector) Do(ctx context.Context, t tasks.Task) (more []tasks.Task, err error) {
	reader, configured := c.Registries(t.Host)
	if !configured || reader == nil {
		return nil, &tasks.FinalError{Cause: provenance.Errorf(provenance.Unavailable, "registry %s is not read by this gateway", t.Host)}
	}
	w := &work{Task: t, Collector: c, location: string(t.Host) + "/" + string(t.Repository) + "@" + t.Digest.String()}
	more, err = w.read(ctx, reader)
	w.sent.Wait() // for as long as it takes, or until nobody sends any more
	if err != nil || !w.isRead {
		return more, err
	}
	failures := w.failures
	for _, why := range w.found.refused {
		failures = append(failures, &tasks.FinalError{Cause: provenance.Errorf(provenance.BadEvidence, "%s", why)})
	}
	if len(failures) > 0 {
		c.Count("refused")
		return nil, worst(failures)
	}
	if len(w.found.pieces)+len(w.found.documents)+len(w.found.unknown) == 0 {
		c.Count("ignored")
		c.Log.DebugContext(ctx, "nothing in it says anything about the image", slog.String("artifact", w.location), slog.String("type", w.artifactType))
	}
	return nil, c.documents(ctx, w)
}

// worst picks the failure that leaves most hope, for all pieces are tried
// again together; a piece that is on the ledger is not sent twice.
func worst(failures []error) error {
	var lost *tasks.FinalError
	for _, err := range failures {
		if !errors.As(err, &lost) {
			return err
		}
	}
	for _, err := range failures {
		if errors.As(err, &lost) && lost.For != "" {
			return err
		}
	}
	return failures[0]
}

// listed turns the index of a fallback tag into one task per referrer.
func (c *Collector) listed(t tasks.Task, a registry.Artifact) []tasks.Task {
	var more []tasks.Task
	if tagged, ok := t.Tag.Subject(); ok && tagged == t.Subject {
		for _, entry := range a.Manifests {
			more = append(more, tasks.Task{Kind: tasks.Collect, Host: t.Host, Repository: t.Repository, Digest: entry.Digest, Subject: t.Subject})
		}
	}
	return more
}

// lookUp tells whether evidence about the task's subject is taken, and by whose keys.
func (c *Collector) lookUp(ctx context.Context, t tasks.Task) (isRecorded bool, keys []*evidence.ParsedKey, err error) {
	var version uint64
	if c.TrustVersion != nil {
		version = c.TrustVersion() // before what it is the version of is looked at
	}
	err = c.View(ctx, func(r state.Scanner) error {
		var err error
		if isRecorded, err = recorded(r, t.Host, t.Repository, t.Subject); err != nil || !isRecorded {
			return err
		}
		keys, err = c.trusted(ctx, r, version)
		return err
	})
	return isRecorded, keys, err
}

// recorded tells whether evidence about an image is taken, by the contract's law: it
// is pushed and not deleted, or an index of the same repository listed it once.
func recorded(r state.Reader, host provenance.Host, repo provenance.Repository, d provenance.Digest) (bool, error) {
	var place state.Place
	found, err := state.Read(r, state.PlaceKey(d, host, repo), &place)
	if err != nil || found {
		return found && !place.Deleted, err
	}
	var parents state.Parents
	if _, err := state.Read(r, state.ParentsKey(d, host, repo), &parents); err != nil {
		return false, err
	}
	return len(parents.Indexes) > 0, nil
}

// refused tells which of the contract's words are final, about evidence of a type
// that a key of an organisation signed.
func (c *Collector) refused(ctx context.Context, msp, typ string, err error) error {
	switch provenance.CodeOf(err) {
	case provenance.BadEvidence, provenance.Invalid:
		return &tasks.FinalError{For: tasks.ForKey, Cause: err}
	case provenance.NotFound:
		if c.lacksSchema(ctx, msp, typ) {
			return &tasks.FinalError{For: tasks.ForKey, Cause: err}
		}
	}
	return err
}

// documents sets aside what nobody signed and nobody vouched for. Whoever pushes a
// document with "waybill attest" vouches for it a moment later.
func (c *Collector) documents(ctx context.Context, w *work) error {
	if len(w.found.documents)+len(w.found.unknown) == 0 {
		return nil
	}
	vouched, err := c.vouched(ctx, w)
	switch {
	case err != nil || vouched:
		return err
	case w.Attempts < documentAttempts:
		return provenance.Errorf(provenance.NotFound, "nobody has vouched for this unsigned document yet")
	}
	c.Count("unverified")
	if len(w.found.unknown) > 0 {
		return &tasks.FinalError{Cause: provenance.Errorf(provenance.BadEvidence, "neither evidence nor a document that is known: layers %s; a person can vouch for a document with: waybill attest", strings.Join(w.found.unknown, ", "))}
	}
	return &tasks.FinalError{Cause: provenance.Errorf(provenance.BadEvidence, "unsigned document (%s): it is no evidence until a person vouches for it with: waybill attest", strings.Join(w.found.documents, ", "))}
}

// vouched tells whether evidence about the image names the artifact as its document.
func (c *Collector) vouched(ctx context.Context, w *work) (vouched bool, err error) {
	err = c.View(ctx, func(r state.Scanner) error {
		entries, err := r.Scan(maxPieces, state.TypeEvidence, w.Subject.String())
		if err != nil {
			return err
		}
		for _, entry := range entries {
			var e state.Evidence
			if err := state.Decode(entry.Value, &e); err != nil {
				return err
			}
			vouched = vouched || e.Location == w.location
		}
		return nil
	})
	return vouched, err
}
