package collect

import (
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
// registered key that signed, and the contract verifies again. An unsigned
// document is counted and logged, and recorded nowhere: a person can vouch for
// it with "waybill attest". The attestation manifests that BuildKit puts inside
// an index are not signed and are not looked at.
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
	keys     []*evidence.ParsedKey // of members, in force
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
	found, err := sortArtifact(ctx, reader, t.Repository, a)
	if err != nil {
		return nil, err
	}
	location := string(t.Host) + "/" + string(t.Repository) + "@" + t.Digest.String()
	var failures []error
	for _, p := range found.pieces {
		if err := c.piece(ctx, t, k, p, location); err != nil {
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
	if len(found.pieces)+len(found.documents) == 0 {
		c.Count("ignored")
		c.Log.DebugContext(ctx, "no evidence in it", slog.String("artifact", location), slog.String("type", a.ArtifactType))
	}
	return nil, c.documents(ctx, t, k, found.documents, location)
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

// trusted lists the keys of members that were not withdrawn. A member of which
// not every key is tried is named in the log, once, and counted.
func (c *Collector) trusted(ctx context.Context, r state.Scanner) ([]*evidence.ParsedKey, error) {
	members, err := state.LoadMembers(r)
	if err != nil {
		return nil, err
	}
	most := c.keysOf
	if most == 0 {
		most = maxKeys
	}
	var keys []*evidence.ParsedKey
	for _, msp := range members.MSPs {
		entries, err := r.Scan(most+1, state.TypeKey, msp)
		if err != nil {
			return nil, err
		}
		if len(entries) > most {
			entries = entries[:most]
			c.Count("keys-left-out")
			if _, known := c.told.LoadOrStore(msp, true); !known {
				c.Log.WarnContext(ctx, "not every key of a member is tried: what the others signed is not found", slog.String("member", msp), slog.Int("tried", most))
			}
		}
		for _, e := range entries {
			var k state.TrustKey
			if err := state.Decode(e.Value, &k); err != nil {
				return nil, err
			}
			if k.Withdrawn != nil {
				continue
			}
			parsed, err := c.parsed.Parse(evidence.Key{MSP: k.MSP, Name: k.Name, Kind: evidence.KeyKind(k.Kind), PEM: k.PEM, NotBefore: k.NotBefore, NotAfter: k.NotAfter})
			if err != nil {
				return nil, provenance.Wrap(provenance.Internal, err, "key %s of %s on the ledger", k.Name, k.MSP)
			}
			keys = append(keys, parsed)
		}
	}
	return keys, nil
}

// piece submits an envelope once for each registered key that signed it.
func (c *Collector) piece(ctx context.Context, t tasks.Task, k known, p piece, location string) error {
	signed, err := evidence.Signers(evidence.Request{Subject: t.Subject, Format: p.format, Envelope: p.envelope, Now: c.Now(), Schema: evidence.NoFacts}, k.keys)
	if err != nil {
		return &tasks.FinalError{For: tasks.ForKey, Cause: provenance.Errorf(provenance.BadEvidence, "%s: none of %d registered keys signed it: %v", p.format, len(k.keys), err)}
	}
	for _, s := range signed {
		key, result := s.Key, s.Result
		if has(k.pieces, key, result) {
			c.Count("known")
			continue
		}
		args := []string{string(t.Host), string(t.Repository), t.Subject.String(), "", string(p.format), key.MSP, key.Name, location}
		if _, err := c.Ledger.SubmitTransient(ctx, map[string][]byte{"envelope": p.envelope}, submitEvidence, args...); err != nil {
			return c.refused(ctx, key.MSP, result.Type, err)
		}
		c.Count("recorded")
		c.Log.InfoContext(ctx, "evidence collected", slog.String("type", result.Type), slog.String("image", string(t.Host)+"/"+string(t.Repository)+"@"+t.Subject.String()),
			slog.String("key", key.MSP+"/"+key.Name), slog.String("from", t.Digest.String()))
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

// lacksSchema tells whether a type is a custom one that nobody registered a schema for.
func (c *Collector) lacksSchema(ctx context.Context, msp, typ string) bool {
	name, custom := strings.CutPrefix(typ, evidence.CustomPrefix)
	if !custom {
		return false
	}
	found := false
	err := c.View(ctx, func(r state.Scanner) (err error) {
		found, err = state.Read(r, state.SchemaKey(msp, name), new(state.Schema))
		return err
	})
	return err == nil && !found
}

// has tells whether a statement is on the ledger by this signer.
func has(pieces []state.Evidence, key evidence.Key, result evidence.Result) bool {
	return slices.ContainsFunc(pieces, func(e state.Evidence) bool {
		return e.Type == result.Type && e.Document == result.Document && e.Signer.MSP == key.MSP && e.Signer.Key == key.Name &&
			e.Signer.Identity == result.Identity && e.Signer.Issuer == result.Issuer
	})
}

// documents reports unsigned documents that nobody has vouched for. Whoever
// pushes one with "waybill attest" does so a moment later.
func (c *Collector) documents(ctx context.Context, t tasks.Task, k known, mediaTypes []string, location string) error {
	if len(mediaTypes) == 0 || slices.ContainsFunc(k.pieces, func(e state.Evidence) bool { return e.Location == location }) {
		return nil
	}
	if t.Attempts < documentAttempts {
		return provenance.Errorf(provenance.NotFound, "nobody has vouched for this unsigned document yet")
	}
	c.Count("unverified")
	c.Log.WarnContext(ctx, "unsigned document beside an image: it is no evidence until a person vouches for it with: waybill attest",
		slog.String("image", string(t.Host)+"/"+string(t.Repository)+"@"+t.Subject.String()), slog.String("document", location), slog.String("media", strings.Join(mediaTypes, ", ")))
	return nil
}
