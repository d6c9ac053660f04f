package api

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// GetEvidence implements waybillv1.WaybillServer.
func (s *service) GetEvidence(ctx context.Context, in *waybillv1.GetEvidenceRequest) (*waybillv1.GetEvidenceResponse, error) {
	ref, err := parseImage(in.GetImage())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.GetEvidenceResponse{}
	return out, s.viewAt(ctx, in.GetAt(), func(at moment, r Reads) error {
		if err := resolve(r, &ref); err != nil {
			return err
		}
		out.AsOf = at.asOf()
		out.Height, out.Stale, out.Digest, out.Image = at.height, at.stale, ref.Digest.String(), nameOf(ref)
		indexes, more, err := s.passing(r, ref)
		if err != nil {
			return err
		}
		out.Truncated = more
		runs := make([]keyRange, 1+len(indexes))
		for i, d := range append([]provenance.Digest{ref.Digest}, indexes...) {
			if runs[i] = (keyRange{state.TypeEvidence, d.String()}); in.GetType() != "" {
				runs[i] = append(runs[i], in.GetType())
			}
		}
		var pieces []state.Evidence
		out.NextPageToken, err = list(r, in, evidencePage, as(func(_ []string, e state.Evidence) error {
			pieces = append(pieces, e)
			return nil
		}), runs...)
		if err != nil {
			return err
		}
		reader, err := newEvidenceReader(r)
		if err != nil {
			return err
		}
		out.Evidence, err = reader.show(pieces, ref.Digest)
		return err
	})
}

// nameOf prints a reference, or the digest alone where it has no repository.
func nameOf(ref provenance.Reference) string {
	if ref.Host == "" {
		return ref.Digest.String()
	}
	return ref.String()
}

// passing lists the indexes through which the image was released, in the
// repository that the reference names or in any: their evidence is the image's
// too. more says that it is in more repositories than were looked through.
func (s *service) passing(r Reads, ref provenance.Reference) (indexes []provenance.Digest, more bool, err error) {
	look := func(host provenance.Host, repo provenance.Repository) error {
		carriers, err := s.carriers(r, state.Subject{Host: host, Repository: repo, Digest: ref.Digest})
		for _, c := range carriers {
			if !slices.Contains(indexes, c.index) {
				indexes = append(indexes, c.index)
			}
		}
		return err
	}
	if ref.Host != "" {
		err = look(ref.Host, ref.Repository)
		return indexes, false, err
	}
	more, err = first(r, maxList, func(key []string, _ state.Place) error {
		return look(provenance.Host(key[1]), provenance.Repository(key[2]))
	}, state.TypePlace, state.PlacePrefix(ref.Digest)...)
	return indexes, more, err
}

// evidenceReader reads evidence and tells what counts.
type evidenceReader struct {
	r       Reads
	members []string
	taken   *takenBack
	keys    map[string]*state.Withdrawal // by state.TrustKeyKey; nil: it stands
	roots   map[string]*state.TrustedRoot
}

func newEvidenceReader(r Reads) (*evidenceReader, error) {
	members, err := state.LoadMembers(r)
	return &evidenceReader{r: r, members: members.MSPs, taken: newTakenBack(r), keys: map[string]*state.Withdrawal{}}, err
}

// about lists at most limit pieces of evidence about one image, as show does;
// more says that there are others.
func (s *evidenceReader) about(d provenance.Digest, limit int) (all []*waybillv1.Evidence, more bool, err error) {
	var pieces []state.Evidence
	more, err = first(s.r, limit, func(_ []string, e state.Evidence) error {
		pieces = append(pieces, e)
		return nil
	}, state.TypeEvidence, d.String())
	if err != nil {
		return nil, false, err
	}
	all, err = s.show(pieces, d)
	return all, more, err
}

// show tells of pieces what counts, those about the image itself first, by
// type, the newest first.
func (s *evidenceReader) show(pieces []state.Evidence, image provenance.Digest) ([]*waybillv1.Evidence, error) {
	slices.SortStableFunc(pieces, func(a, b state.Evidence) int {
		return cmp.Or(-compareBool(a.Digest == image, b.Digest == image), cmp.Compare(a.Digest.String(), b.Digest.String()),
			cmp.Compare(a.Type, b.Type), b.Since().Compare(a.Since()), cmp.Compare(b.ID, a.ID))
	})
	current, err := s.current(pieces)
	if err != nil {
		return nil, err
	}
	verified := make([]*state.Evidence, len(pieces))
	for i := range pieces {
		verified[i] = &pieces[i]
	}
	if s.roots, err = state.LoadRoots(s.r, verified); err != nil {
		return nil, err
	}
	out := make([]*waybillv1.Evidence, len(pieces))
	for i, e := range pieces {
		why, err := s.why(e, current)
		if err != nil {
			return nil, err
		}
		out[i] = &waybillv1.Evidence{
			Digest: e.Digest.String(), Type: e.Type, Id: e.ID, Format: e.Format, Signer: signer(e.Signer), Facts: string(e.Facts),
			Document: e.Document, PredicateType: e.PredicateType, MadeAt: stamp(e.MadeAt), Location: e.Location,
			By: person(e.By), At: stamp(e.At), Counts: why == "", Why: why, Inherited: e.Digest != image, Withdrawn: withdrawal(e.Withdrawn),
			RootVersion: int32(e.RootVersion), Claims: e.Claims,
		}
		for _, use := range e.Uses {
			out[i].Uses = append(out[i].Uses, &waybillv1.AuthorityUse{Id: use.ID, At: stamp(use.At)})
		}
	}
	return out, nil
}

// piece names a piece of evidence within the sets.
type piece struct {
	digest  provenance.Digest
	typ, id string
}

// current are the pieces that the sets of members name, of the images that the
// pieces are about.
func (s *evidenceReader) current(pieces []state.Evidence) (map[piece]bool, error) {
	var digests []provenance.Digest
	for _, e := range pieces {
		if !slices.Contains(digests, e.Digest) {
			digests = append(digests, e.Digest)
		}
	}
	current := map[piece]bool{}
	sets, err := state.LoadEvidenceSets(s.r, digests, s.members)
	for _, set := range sets {
		for _, entry := range set.Entries {
			current[piece{set.Digest, entry.Type, entry.ID}] = true
		}
	}
	return current, err
}

// why says why a piece of evidence does not count, or "".
func (s *evidenceReader) why(e state.Evidence, current map[piece]bool) (string, error) {
	if !e.Answered(s.members) {
		return e.Signer.MSP + " is no member", nil
	}
	if w := e.Withdrawn; w != nil {
		return "taken back by " + w.By.String() + ": " + w.Reason, nil
	}
	if e.Signer.Kind == policy.SignedByPerson {
		if why, err := s.taken.why(policy.Person{MSP: e.Signer.MSP, Name: e.Signer.Name}, e.At); err != nil || why != "" {
			return why, err
		}
	}
	if e.RootVersion > 0 {
		if _, why := s.roots[state.TrustedRootKey(e.Signer.MSP, e.Signer.Key)].Reaches(&e); why != "" {
			return why, nil
		}
	} else if e.Signer.Key != "" {
		w, err := s.withdrawal(e.Signer)
		if err != nil {
			return "", err
		}
		if e.WithdrawnBy(w) {
			return "key " + e.Signer.Key + " of " + e.Signer.MSP + " was withdrawn, compromised since " +
				w.CompromisedSince.UTC().Format(time.RFC3339) + ": " + w.Reason, nil
		}
	}
	if !current[piece{e.Digest, e.Type, e.ID}] {
		return "the same signer gave newer evidence of this type", nil
	}
	return "", nil
}

func (s *evidenceReader) withdrawal(by policy.Signer) (*state.Withdrawal, error) {
	key := state.TrustKeyKey(by.MSP, by.Key)
	if w, known := s.keys[key]; known {
		return w, nil
	}
	var k state.TrustKey
	_, err := state.Read(s.r, key, &k)
	s.keys[key] = k.Withdrawn
	return k.Withdrawn, err
}

func withdrawal(w *state.Withdrawal) *waybillv1.Withdrawal {
	if w == nil {
		return nil
	}
	return &waybillv1.Withdrawal{Reason: w.Reason, CompromisedSince: stamp(w.CompromisedSince), By: person(w.By), At: stamp(w.At)}
}

func signer(s policy.Signer) *waybillv1.Signer {
	return &waybillv1.Signer{
		Kind: string(s.Kind), Msp: s.MSP, Key: s.Key, Identity: s.Identity, Issuer: s.Issuer, Name: s.Name, Roles: s.Roles,
	}
}

// ListKeys implements waybillv1.WaybillServer.
func (s *service) ListKeys(ctx context.Context, in *waybillv1.ListKeysRequest) (*waybillv1.ListKeysResponse, error) {
	where := keyRange{state.TypeKey}
	if in.GetMsp() != "" {
		where = append(where, in.GetMsp())
	}
	out := &waybillv1.ListKeysResponse{}
	return out, s.view(ctx, func(at moment, r Reads) (err error) {
		out.Height, out.Stale = at.height, at.stale
		out.NextPageToken, err = list(r, in, maxPage, as(func(_ []string, k state.TrustKey) error {
			out.Keys = append(out.Keys, &waybillv1.Key{
				Msp: k.MSP, Name: k.Name, Kind: k.Kind, Pem: k.PEM, Fingerprint: k.Fingerprint, NotBefore: stamp(k.NotBefore), NotAfter: stamp(k.NotAfter),
				By: person(k.By), At: stamp(k.At), Withdrawn: withdrawal(k.Withdrawn),
			})
			return nil
		}), where)
		return err
	})
}

// ListSchemas implements waybillv1.WaybillServer.
func (s *service) ListSchemas(ctx context.Context, in *waybillv1.ListSchemasRequest) (*waybillv1.ListSchemasResponse, error) {
	out := &waybillv1.ListSchemasResponse{}
	return out, s.view(ctx, func(at moment, r Reads) (err error) {
		out.Height, out.Stale = at.height, at.stale
		out.NextPageToken, err = list(r, in, maxPage, as(func(_ []string, x state.Schema) error {
			out.Schemas = append(out.Schemas, &waybillv1.Schema{Name: x.Name, Msp: x.MSP, Schema: string(x.Schema), By: person(x.By), At: stamp(x.At)})
			return nil
		}), keyRange{state.TypeSchema})
		return err
	})
}
