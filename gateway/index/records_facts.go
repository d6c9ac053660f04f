package index

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// deriveFacts adds the records of what rules look at: keys, evidence, witnesses,
// waivers, labels, context, and the list of members. A list is compared with
// what it was: each difference is an act.
func (w *writer) deriveFacts(objectType string, write block.Write) error {
	switch objectType {
	case state.TypeKey:
		return recordOf(w, write, func(k state.TrustKey) (readmodel.Record, error) {
			if k.Withdrawn == nil {
				return readmodel.Record{Kind: KindKey, Detail: fmt.Sprintf("%s answers for key %s (%s, %.16s)", k.MSP, k.Name, k.Kind, k.Fingerprint)}, nil
			}
			line := fmt.Sprintf("key %s of %s is withdrawn", k.Name, k.MSP)
			if since := k.Withdrawn.CompromisedSince; !since.IsZero() {
				line += ", compromised since " + timeOf(since)
			}
			return readmodel.Record{Kind: KindKeyWithdrawn, Detail: because(line, k.Withdrawn.Reason)}, nil
		})
	case state.TypeTrust:
		return recordOf(w, write, func(r state.TrustedRoot) (readmodel.Record, error) {
			if x := r.Withdrawn; x != nil {
				line := r.String() + " is withdrawn"
				if since := x.CompromisedSince; !since.IsZero() {
					line += ", compromised since " + timeOf(since)
				}
				return readmodel.Record{Kind: KindTrustWithdrawn, Detail: because(line, x.Reason)}, nil
			}
			return readmodel.Record{Kind: KindTrust, Detail: fmt.Sprintf("%s is trusted in version %d (%.16s)", &r, r.Version, r.Hash)}, nil
		})
	case state.TypeSchema:
		return recordOf(w, write, func(s state.Schema) (readmodel.Record, error) {
			return readmodel.Record{Kind: KindSchema, Detail: fmt.Sprintf("evidence type custom/%s/%s", s.MSP, s.Name)}, nil
		})
	case state.TypeEvidence:
		return recordOf(w, write, func(e state.Evidence) (readmodel.Record, error) {
			if e.Withdrawn != nil {
				line := fmt.Sprintf("%s by %s is taken back", e.Type, signerOf(e.Signer))
				return readmodel.Record{Kind: KindEvidenceWithdrawn, Digest: e.Digest, Detail: because(line, e.Withdrawn.Reason)}, nil
			}
			return readmodel.Record{Kind: KindEvidence, Digest: e.Digest, Detail: fmt.Sprintf("%s by %s (%s)", e.Type, signerOf(e.Signer), e.Format)}, nil
		})
	case state.TypePlace:
		return w.place(write)
	case state.TypeWitness:
		return recordOf(w, write, func(x state.Witness) (readmodel.Record, error) {
			a, err := parts(write.Key, 4)
			if err != nil {
				return readmodel.Record{}, err
			}
			d, err := provenance.ParseDigest(a[0])
			return readmodel.Record{
				Kind: KindWitness, Digest: d, Host: provenance.Host(a[1]), Repository: provenance.Repository(a[2]), Detail: "seen at the registry by " + x.MSP,
			}, err
		})
	case state.TypeWaivers:
		return w.waivers(write)
	case state.TypeLabels:
		return w.labels(write)
	case state.TypeContext:
		return w.context(write)
	case state.TypeMembers:
		return w.members(write)
	}
	return nil
}

func parts(key string, n int) ([]string, error) {
	_, a, ok := state.SplitKey(key)
	if !ok || len(a) != n {
		return nil, provenance.Errorf(provenance.Internal, "key %q does not have %d parts", key, n)
	}
	return a, nil
}

// waivers tells the differences: asked for, approved, revoked. That one ended
// is no act.
func (w *writer) waivers(write block.Write) error {
	a, err := parts(write.Key, 3)
	if err != nil {
		return err
	}
	old, _, err := before[state.Waivers](w, write.Key)
	if err != nil {
		return err
	}
	var now state.Waivers
	if err := state.Decode(write.Value, &now); err != nil {
		return err
	}
	for _, x := range old.Waivers {
		if !slices.ContainsFunc(now.Waivers, func(o state.Waiver) bool { return o.ID == x.ID }) {
			if err := w.requestEnded(write.Key, x.ID); err != nil {
				return err
			}
		}
	}
	for _, x := range now.Waivers {
		if err := w.waiver(write.Key, x); err != nil {
			return err
		}
		i := slices.IndexFunc(old.Waivers, func(o state.Waiver) bool { return o.ID == x.ID })
		b, err := json.Marshal(x)
		if err != nil {
			return provenance.Wrap(provenance.Internal, err, "waiver %s", x.ID)
		}
		r := readmodel.Record{Host: provenance.Host(a[0]), Repository: provenance.Repository(a[1]), Digest: x.Digest, Stage: x.Stage, JSON: b}
		what := fmt.Sprintf("waiver %s of %s for %s until %s", short(x.ID), x.Rule, x.Stage, timeOf(x.Until))
		switch {
		case i < 0:
			r.Kind, r.Detail = KindWaiver, because(what+" is asked for", x.Reason)
		case x.Revoked && !old.Waivers[i].Revoked:
			r.Kind, r.Detail = KindWaiverRevoked, what+" is revoked"
			if x.Revocation != nil {
				r.Detail = because(r.Detail, x.Revocation.Reason)
			}
		default:
			k := slices.IndexFunc(x.Approvers, func(a state.Approver) bool {
				return !slices.ContainsFunc(old.Waivers[i].Approvers, func(o state.Approver) bool { return o.Person == a.Person && o.At.Equal(a.At) })
			})
			if k < 0 {
				continue
			}
			r.Kind, r.Detail = KindWaiverApproval, what+" is approved by "+x.Approvers[k].String()
		}
		if err := w.record(r); err != nil {
			return err
		}
	}
	return nil
}

// waiver notes whether it waits for approvals still, as far as the ledger
// alone says: a policy tells which are enough.
func (w *writer) waiver(key string, x state.Waiver) error {
	if x.Revoked {
		return w.requestEnded(key, x.ID)
	}
	return w.requested(readmodel.Waiting{Key: key, ID: x.ID, MSP: x.By.MSP, Since: x.At, Until: x.Until})
}

// place notes where an image is and what refers to it, and tells that what was recorded by its
// digest alone is proven now. What the events say of a manifest is a claim; what
// a place says was derived from its bytes.
func (w *writer) place(write block.Write) error {
	var p state.Place
	if err := state.Decode(write.Value, &p); err != nil {
		return err
	}
	a, err := parts(write.Key, 3)
	if err != nil {
		return err
	}
	d, err := state.PlaceDigest(write.Key)
	if err != nil {
		return err
	}
	if !w.tx.changed[write.Key] {
		if err := w.count(d, provenance.Host(a[1]), provenance.Repository(a[2]), imageValue{place: true, born: w.at.Block}); err != nil {
			return err
		}
	}
	if err := w.keepPlace(write, d, a); err != nil {
		return err
	}
	if !p.Proven {
		return nil
	}
	if !p.Subject.IsZero() {
		w.add(append(prefixOf(ofReferrers, string(digestBytes(p.Subject)), a[1], a[2]), digestBytes(d)...), nil)
	}
	if w.tx.fresh[write.Key] {
		return nil
	}
	old, found, err := before[state.Place](w, write.Key)
	if err != nil || !found || old.Proven {
		return err
	}
	return w.record(readmodel.Record{
		Kind: KindProven, Digest: d, Host: provenance.Host(a[1]), Repository: provenance.Repository(a[2]), MediaType: p.MediaType,
		Detail: "what it is is derived from its manifest now", JSON: write.Value,
	})
}

// registry tells the differences: who has which part of it now.
func (w *writer) registry(write block.Write) error {
	old, _, err := before[state.Registry](w, write.Key)
	if err != nil {
		return err
	}
	var now state.Registry
	if err := state.Decode(write.Value, &now); err != nil {
		return err
	}
	for _, c := range now.Claims {
		i := slices.IndexFunc(old.Claims, func(o state.Claim) bool { return o.Namespace == c.Namespace })
		if i >= 0 && old.Claims[i].Owner == c.Owner && old.Claims[i].Kind == c.Kind {
			continue
		}
		line := fmt.Sprintf("%s registry of %s", c.Kind, c.Owner)
		if c.Namespace != "" {
			line = fmt.Sprintf("namespace %s of the %s registry belongs to %s", c.Namespace, c.Kind, c.Owner)
		}
		if i >= 0 && old.Claims[i].Owner != c.Owner {
			line += ", before to " + old.Claims[i].Owner
		}
		if err := w.record(readmodel.Record{Kind: KindRegistry, Host: now.Host, Detail: line, JSON: write.Value}); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) labels(write block.Write) error {
	a, err := parts(write.Key, 2)
	if err != nil {
		return err
	}
	old, _, err := before[state.Labels](w, write.Key)
	if err != nil {
		return err
	}
	var now state.Labels
	if err := state.Decode(write.Value, &now); err != nil {
		return err
	}
	return differences(old.Labels, now.Labels, func(name string, value *string) error {
		r := readmodel.Record{Kind: KindLabel, Host: provenance.Host(a[0]), Repository: provenance.Repository(a[1]), JSON: write.Value, Detail: "label " + name + " is removed"}
		if value != nil {
			r.Detail = fmt.Sprintf("label %s is %q", name, *value)
		}
		return w.record(r)
	})
}

func (w *writer) context(write block.Write) error {
	a, err := parts(write.Key, 1)
	if err != nil {
		return err
	}
	old, _, err := before[state.Context](w, write.Key)
	if err != nil {
		return err
	}
	var now state.Context
	if err := state.Decode(write.Value, &now); err != nil {
		return err
	}
	text := func(values map[string]policy.Value) map[string]string {
		out := map[string]string{}
		for name, v := range values {
			b, _ := json.Marshal(v.Value) // a bool, an integer or a string: cannot fail
			out[name] = string(b)
		}
		return out
	}
	return differences(text(old.Values), text(now.Values), func(name string, value *string) error {
		r := readmodel.Record{Kind: KindContext, JSON: write.Value, Detail: fmt.Sprintf("%s no longer says %s", a[0], name)}
		if value != nil {
			r.Detail = fmt.Sprintf("%s says %s is %s", a[0], name, *value)
		}
		return w.record(r)
	})
}

// differences calls tell for what changed, in the order of the names; value is
// nil for what is gone.
func differences(old, now map[string]string, tell func(name string, value *string) error) error {
	names := slices.Collect(maps.Keys(old))
	names = slices.AppendSeq(names, maps.Keys(now))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		was, had := old[name]
		is, has := now[name]
		if had == has && was == is {
			continue
		}
		var value *string
		if has {
			value = &is
		}
		if err := tell(name, value); err != nil {
			return err
		}
	}
	return nil
}

// members tells who may join, who is one no longer and what majority decides.
// That a member came is told by its own record.
func (w *writer) members(write block.Write) error {
	old, _, err := before[state.Members](w, write.Key)
	if err != nil {
		return err
	}
	var now state.Members
	if err := state.Decode(write.Value, &now); err != nil {
		return err
	}
	var lines []string
	for _, msp := range now.Invited {
		if !slices.Contains(old.Invited, msp) {
			lines = append(lines, msp+" may join")
		}
	}
	for _, msp := range old.MSPs {
		if !slices.Contains(now.MSPs, msp) {
			lines = append(lines, msp+" is no longer a member")
		}
	}
	if now.Majority != old.Majority {
		lines = append(lines, fmt.Sprintf("%d members decide", now.Needed()))
	}
	if len(lines) == 0 {
		return nil
	}
	return w.record(readmodel.Record{Kind: KindMember, Detail: strings.Join(lines, "; "), JSON: write.Value})
}

func timeOf(t time.Time) string { return t.UTC().Format(time.RFC3339) }
