package collect

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

// submitEvidence is the transaction that puts an envelope before the contract.
const submitEvidence = "evidence:Submit"

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
	Ledger     tasks.Submitter
	Log        *slog.Logger
	Count      func(outcome string)
	Now        func() time.Time
	keysOf     int      // of one member; 0 means maxKeys
	told       sync.Map // members of which not every key is tried
	parsed     evidence.KeyCache
}

const (
	// maxKeys is how many keys of one member are tried. Each member has its own
	// share: whoever registers many keeps nobody's out.
	maxKeys   = 10_000
	maxPieces = 4096 // of evidence of one image, to save sending one again
	// documentAttempts is how often, in about a minute, it is looked whether a
	// person has vouched for an unsigned document; fewer than workLimits.attempts.
	documentAttempts = 5
)

// known is what the ledger says about an image as a subject of evidence.
type known struct {
	recorded bool
	keys     []*evidence.ParsedKey // and trusted roots, in force
	pieces   []state.Evidence
}

// Do carries one artifact to the ledger. Doing it again finds what is there.
func (c *Collector) Do(ctx context.Context, t tasks.Task) (more []tasks.Task, err error) {
	reader, configured := c.Registries(t.Host)
	if !configured || reader == nil {
		return nil, &tasks.FinalError{Cause: provenance.Errorf(provenance.Unavailable, "registry %s is not read by this gateway", t.Host)}
	}
	k, err := c.lookUp(ctx, t)
	if err != nil {
		return nil, err
	}
	if !k.recorded {
		return nil, &tasks.WaitingError{For: tasks.ForSubject, Cause: provenance.Errorf(provenance.NotFound, "its subject %s is not recorded in %s/%s", t.Subject.Short(), t.Host, t.Repository)}
	}
	a, err := reader.Artifact(ctx, t.Repository, t.Digest)
	if err != nil {
		return nil, err
	}
	if a.Manifests != nil {
		return c.listed(t, a), nil
	}
	if !a.Subject.IsZero() && a.Subject != t.Subject {
		return nil, &tasks.FinalError{Cause: provenance.Errorf(provenance.Invalid, "its tag names %s as its subject, and it names %s itself", t.Subject.Short(), a.Subject.Short())}
	}
	found := sortArtifact(a)
	location := string(t.Host) + "/" + string(t.Repository) + "@" + t.Digest.String()
	var failures []error
	for _, p := range found.pieces { // one after the other: together they may be large
		envelope, err := p.fetch(ctx, reader, t.Repository)
		var lost *tasks.FinalError
		if err != nil && !errors.As(err, &lost) {
			return nil, err // the registry's: the next piece would only wait for it again
		}
		if err == nil {
			err = c.piece(ctx, t, k, p, envelope, location)
		}
		if err != nil {
			failures = append(failures, err)
		}
	}
	for _, why := range found.refused {
		failures = append(failures, &tasks.FinalError{Cause: provenance.Errorf(provenance.BadEvidence, "%s", why)})
	}
	if len(failures) > 0 {
		c.Count("refused")
		return nil, worst(failures)
	}
	if len(found.pieces)+len(found.documents)+len(found.unknown) == 0 {
		c.Count("ignored")
		c.Log.DebugContext(ctx, "nothing in it says anything about the image", slog.String("artifact", location), slog.String("type", a.ArtifactType))
	}
	return nil, c.documents(t, k, found, location)
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
	if tagged, ok := tasks.TaggedSubject(t.Tag); ok && tagged == t.Subject {
		for _, entry := range a.Manifests {
			more = append(more, tasks.Task{Kind: tasks.Collect, Host: t.Host, Repository: t.Repository, Digest: entry.Digest, Subject: t.Subject})
		}
	}
	return more
}

func (c *Collector) lookUp(ctx context.Context, t tasks.Task) (known, error) {
	var k known
	err := c.View(ctx, func(r state.Scanner) error {
		var err error
		if k.recorded, err = recorded(r, t.Host, t.Repository, t.Subject); err != nil {
			return err
		}
		if k.keys, err = c.trusted(ctx, r); err != nil {
			return err
		}
		entries, err := r.Scan(maxPieces, state.TypeEvidence, t.Subject.String())
		if err != nil {
			return err
		}
		k.pieces = make([]state.Evidence, len(entries))
		for i, e := range entries {
			if err := state.Decode(e.Value, &k.pieces[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return k, err
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

// piece submits an envelope once for each registered key that signed it. Anybody may
// register what others sign with: one whose evidence is refused stands in nobody's way.
func (c *Collector) piece(ctx context.Context, t tasks.Task, k known, p piece, envelope []byte, location string) error {
	signed, err := evidence.Signers(evidence.Request{Subject: t.Subject, Format: p.format, Envelope: envelope, Now: c.Now(), Schema: evidence.NoFacts}, k.keys)
	if err != nil {
		return &tasks.FinalError{For: tasks.ForKey, Cause: provenance.Errorf(provenance.BadEvidence, "%s: none of %d registered keys and trusted roots vouches for it: %v", p.format, len(k.keys), err)}
	}
	// A signature is recorded once of an organisation's certificates: below a trusted root
	// with what proves its time, and with what the certificate says.
	slices.SortStableFunc(signed, func(a, b evidence.Signed) int { return cmp.Compare(provesTime(b.Key), provesTime(a.Key)) })
	transient := map[string][]byte{"envelope": envelope}
	if p.private {
		transient["private"] = []byte("true")
	}
	var failures []error
	for _, s := range signed {
		err := c.by(ctx, t, p.format, s, transient, location)
		if provenance.CodeOf(err) == provenance.Unavailable {
			return err // the next would only wait for it again
		}
		if err != nil {
			failures = append(failures, err)
		}
	}
	if len(failures) > 0 {
		return worst(failures)
	}
	return nil
}

func provesTime(k evidence.Key) int {
	if k.Kind == evidence.TrustedRoot {
		return 1
	}
	return 0
}

// by submits an envelope as one signer's, under each type that it does not have yet.
func (c *Collector) by(ctx context.Context, t tasks.Task, format evidence.Format, s evidence.Signed, transient map[string][]byte, location string) error {
	types, err := c.missing(ctx, t.Subject, s)
	if err != nil {
		return err
	}
	if len(types) == 0 {
		c.Count("known")
	}
	var failures []error
	for _, typ := range types {
		args := []string{string(t.Host), string(t.Repository), t.Subject.String(), typ, string(format), s.Key.MSP, s.Key.Name, location}
		if _, err := c.Ledger.SubmitTransient(ctx, transient, submitEvidence, args...); err != nil {
			if err = c.refused(ctx, s.Key.MSP, s.Result.Type, err); provenance.CodeOf(err) == provenance.Unavailable {
				return err
			}
			failures = append(failures, err)
			continue
		}
		c.Count("recorded")
		c.Log.InfoContext(ctx, "evidence collected", slog.String("type", cmp.Or(typ, s.Result.Type)), slog.String("image", string(t.Host)+"/"+string(t.Repository)+"@"+t.Subject.String()),
			slog.String("key", s.Key.MSP+"/"+s.Key.Name), slog.String("identity", s.Result.Identity), slog.String("from", t.Digest.String()))
	}
	if len(failures) > 0 {
		return worst(failures)
	}
	return nil
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
func (c *Collector) documents(t tasks.Task, k known, found sorted, location string) error {
	if len(found.documents)+len(found.unknown) == 0 || slices.ContainsFunc(k.pieces, func(e state.Evidence) bool { return e.Location == location }) {
		return nil
	}
	if t.Attempts < documentAttempts {
		return provenance.Errorf(provenance.NotFound, "nobody has vouched for this unsigned document yet")
	}
	c.Count("unverified")
	if len(found.unknown) > 0 {
		return &tasks.FinalError{Cause: provenance.Errorf(provenance.BadEvidence, "neither evidence nor a document that is known: layers %s; a person can vouch for a document with: waybill attest", strings.Join(found.unknown, ", "))}
	}
	return &tasks.FinalError{Cause: provenance.Errorf(provenance.BadEvidence, "unsigned document (%s): it is no evidence until a person vouches for it with: waybill attest", strings.Join(found.documents, ", "))}
}
