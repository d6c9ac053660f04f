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
	return out, s.view(ctx, func(at moment, r Reads) error {
		if err := resolve(r, &ref); err != nil {
			return err
		}
		out.Height, out.Stale, out.Digest, out.Image = at.height, at.stale, ref.Digest.String(), nameOf(ref)
		shelf, err := openShelf(r)
		if err != nil {
			return err
		}
		if out.Evidence, err = shelf.about(ref.Digest, in.GetType()); err != nil {
			return err
		}
		indexes, err := holding(r, ref)
		if err != nil {
			return err
		}
		for _, index := range indexes {
			more, err := shelf.about(index, in.GetType())
			if err != nil {
				return err
			}
			for _, e := range more {
				e.Inherited = true
			}
			out.Evidence = append(out.Evidence, more...)
		}
		out.Evidence = out.Evidence[:min(len(out.Evidence), maxList)]
		return nil
	})
}

// nameOf prints a reference, or the digest alone where it has no repository.
func nameOf(ref provenance.Reference) string {
	if ref.Host == "" {
		return ref.Digest.String()
	}
	return ref.String()
}

// holding lists the indexes that hold the image: in the repository that the
// reference names, or anywhere.
func holding(r Reads, ref provenance.Reference) ([]provenance.Digest, error) {
	where := []string{ref.Digest.String()}
	if ref.Host != "" {
		where = append(where, string(ref.Host), string(ref.Repository))
	}
	var indexes []provenance.Digest
	err := each(r, func(_ []string, p state.Parents) error {
		for _, d := range p.Indexes {
			if !slices.Contains(indexes, d) {
				indexes = append(indexes, d)
			}
		}
		return nil
	}, state.TypeParents, where...)
	return indexes, err
}

// shelf reads evidence and tells what counts.
type shelf struct {
	r       Reads
	members []string
	keys    map[string]*state.Withdrawal // by state.TrustKeyKey; nil: it stands
}

func openShelf(r Reads) (*shelf, error) {
	members, err := state.LoadMembers(r)
	return &shelf{r: r, members: members.MSPs, keys: map[string]*state.Withdrawal{}}, err
}

// about lists the evidence about one image, by type, the newest first.
func (s *shelf) about(d provenance.Digest, typ string) ([]*waybillv1.Evidence, error) {
	where := []string{d.String()}
	if typ != "" {
		where = append(where, typ)
	}
	var pieces []state.Evidence
	err := each(s.r, func(_ []string, e state.Evidence) error {
		pieces = append(pieces, e)
		return nil
	}, state.TypeEvidence, where...)
	if err != nil || len(pieces) == 0 {
		return nil, err
	}
	var set state.EvidenceSet
	if _, err := state.Read(s.r, state.EvidenceSetKey(d), &set); err != nil {
		return nil, err
	}
	slices.SortStableFunc(pieces, func(a, b state.Evidence) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), b.Since().Compare(a.Since()), cmp.Compare(b.ID, a.ID))
	})
	out := make([]*waybillv1.Evidence, len(pieces))
	for i, e := range pieces {
		why, err := s.why(e, set)
		if err != nil {
			return nil, err
		}
		out[i] = &waybillv1.Evidence{
			Digest: e.Digest.String(), Type: e.Type, Id: e.ID, Format: e.Format, Signer: signer(e.Signer), Facts: string(e.Facts),
			Document: e.Document, PredicateType: e.PredicateType, MadeAt: stamp(e.MadeAt), Location: e.Location,
			By: person(e.By), At: stamp(e.At), Counts: why == "", Why: why,
		}
	}
	return out, nil
}

// why says why a piece of evidence does not count, or "".
func (s *shelf) why(e state.Evidence, set state.EvidenceSet) (string, error) {
	if !slices.Contains(s.members, e.Signer.MSP) {
		return e.Signer.MSP + " is no member", nil
	}
	if e.Signer.Key != "" {
		w, err := s.withdrawal(e.Signer)
		if err != nil {
			return "", err
		}
		if e.WithdrawnBy(w) {
			return "key " + e.Signer.Key + " of " + e.Signer.MSP + " was withdrawn, compromised since " +
				w.CompromisedSince.UTC().Format(time.RFC3339) + ": " + w.Reason, nil
		}
	}
	for _, entry := range set.Entries {
		if entry.Type == e.Type && entry.ID == e.ID {
			return "", nil
		}
	}
	return "the same signer gave newer evidence of this type", nil
}

func (s *shelf) withdrawal(by policy.Signer) (*state.Withdrawal, error) {
	key := state.TrustKeyKey(by.MSP, by.Key)
	if w, known := s.keys[key]; known {
		return w, nil
	}
	var k state.TrustKey
	_, err := state.Read(s.r, key, &k)
	s.keys[key] = k.Withdrawn
	return k.Withdrawn, err
}

func signer(s policy.Signer) *waybillv1.Signer {
	return &waybillv1.Signer{
		Kind: string(s.Kind), Msp: s.MSP, Key: s.Key, Identity: s.Identity, Issuer: s.Issuer, Name: s.Name, Roles: s.Roles,
	}
}

// ListKeys implements waybillv1.WaybillServer.
func (s *service) ListKeys(ctx context.Context, in *waybillv1.ListKeysRequest) (*waybillv1.ListKeysResponse, error) {
	var where []string
	if in.GetMsp() != "" {
		where = []string{in.GetMsp()}
	}
	out := &waybillv1.ListKeysResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		return each(r, func(_ []string, k state.TrustKey) error {
			key := &waybillv1.Key{
				Msp: k.MSP, Name: k.Name, Kind: k.Kind, Pem: k.PEM, Fingerprint: k.Fingerprint, NotBefore: stamp(k.NotBefore), NotAfter: stamp(k.NotAfter),
				By: person(k.By), At: stamp(k.At),
			}
			if w := k.Withdrawn; w != nil {
				key.Withdrawn = &waybillv1.Withdrawal{Reason: w.Reason, CompromisedSince: stamp(w.CompromisedSince), By: person(w.By), At: stamp(w.At)}
			}
			out.Keys = append(out.Keys, key)
			return nil
		}, state.TypeKey, where...)
	})
}

// ListSchemas implements waybillv1.WaybillServer.
func (s *service) ListSchemas(ctx context.Context, _ *waybillv1.ListSchemasRequest) (*waybillv1.ListSchemasResponse, error) {
	out := &waybillv1.ListSchemasResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		return each(r, func(_ []string, x state.Schema) error {
			out.Schemas = append(out.Schemas, &waybillv1.Schema{Name: x.Name, Msp: x.MSP, Schema: string(x.Schema), By: person(x.By), At: stamp(x.At)})
			return nil
		}, state.TypeSchema)
	})
}
