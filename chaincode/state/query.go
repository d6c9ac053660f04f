package state

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Reader reads committed state. The contract adapts the peer's stub to it, the
// gateway its index; tests use a map.
type Reader interface {
	// Get returns the values of keys in order, nil for a key that is absent.
	Get(keys ...string) ([][]byte, error)
}

// Scanner also lists keys by prefix, in key order. A transaction that writes
// never scans: a scan is open-ended, and is re-run at commit.
type Scanner interface {
	Reader
	// Scan returns at most limit entries whose key has the prefix Key(objectType, attributes...).
	Scan(limit int, objectType string, attributes ...string) ([]Entry, error)
}

// Entry is a key and its value.
type Entry struct {
	Key   string
	Value []byte
}

// maxParents bounds how many indexes a platform image is looked up in.
const maxParents = 32

// Read decodes the record under key into record; found is false when absent.
func Read(r Reader, key string, record any) (found bool, err error) {
	values, err := r.Get(key)
	if err != nil || values[0] == nil {
		return false, err
	}
	return true, Decode(values[0], record)
}

// LoadMembers returns the MSP ids of the members.
func LoadMembers(r Reader) ([]string, error) {
	var m Members
	_, err := Read(r, MembersKey(), &m)
	return m.MSPs, err
}

// LoadPolicy returns the active policy for a repository, or nil.
func LoadPolicy(r Reader, host provenance.Host, repo provenance.Repository) (*policy.Policy, int, error) {
	var c Catalogue
	if _, err := Read(r, PoliciesKey(), &c); err != nil {
		return nil, 0, err
	}
	patterns := make([][]string, len(c.Policies))
	for i, e := range c.Policies {
		patterns[i] = e.Match
	}
	i := policy.Select(patterns, host, repo)
	if i < 0 {
		return nil, 0, nil
	}
	var v PolicyVersion
	found, err := Read(r, PolicyKey(c.Policies[i].Name, c.Policies[i].Version), &v)
	if err != nil || !found {
		return nil, 0, provenance.Wrap(provenance.Internal, err, "policy %s version %d is in the catalogue but not on the ledger", c.Policies[i].Name, c.Policies[i].Version)
	}
	p, err := policy.Parse(v.Text)
	if err != nil {
		return nil, 0, err
	}
	return &p, v.Version, nil
}

// LoadFacts gathers by key reads alone everything a verdict on s depends on.
// It returns the promotion too, zero when there is none.
func LoadFacts(r Reader, s Subject, p *policy.Policy) (policy.Facts, Promotion, error) {
	f := policy.Facts{Host: s.Host, Repository: s.Repository, Digest: s.Digest, Stage: s.Stage}
	var promotion Promotion
	members, err := LoadMembers(r)
	if err != nil {
		return f, promotion, err
	}
	f.Members = members
	var place Place
	found, err := Read(r, PlaceKey(s.Digest, s.Host, s.Repository), &place)
	if err != nil {
		return f, promotion, err
	}
	f.Recorded, f.PushedBy = found && !place.Deleted, place.MSP
	if f.Holds, err = loadHolds(r, members, append([]provenance.Digest{s.Digest}, place.Children...)); err != nil {
		return f, promotion, err
	}
	if f.Promoted, err = Read(r, s.PromotionKey(), &promotion); err != nil {
		return f, promotion, err
	}
	if f.Promoted {
		f.Requester = promotion.Requester
		if f.Approvals, err = loadApprovals(r, promotion, members); err != nil {
			return f, promotion, err
		}
		f.Promoted = promotion.Status != PromotionRejected
	}
	return f, promotion, loadReleases(r, s, p, &f)
}

// Ask answers "may this image run in this stage?" from r, at now. Unlike
// LoadFacts it also looks an image up as a platform of a released index.
func Ask(r Scanner, s Subject, now time.Time) (policy.Verdict, error) {
	p, version, err := LoadPolicy(r, s.Host, s.Repository)
	if err != nil {
		return policy.Verdict{}, err
	}
	f, _, err := LoadFacts(r, s, p)
	if err != nil {
		return policy.Verdict{}, err
	}
	if err := viaIndex(r, s, p, &f); err != nil {
		return policy.Verdict{}, err
	}
	return policy.Evaluate(p, version, f, now), nil
}

// viaIndex lends an image the quarantine and the release of the indexes that
// hold it: who approved an index approved its platforms.
func viaIndex(r Scanner, s Subject, p *policy.Policy, f *policy.Facts) error {
	parents, err := r.Scan(maxParents, TypeChild, s.Digest.String(), string(s.Host), string(s.Repository))
	if err != nil {
		return err
	}
	for _, e := range parents {
		_, attributes, ok := SplitKey(e.Key)
		if !ok || len(attributes) != 4 {
			return provenance.Errorf(provenance.Internal, "key %q is no child key", e.Key)
		}
		index, err := provenance.ParseDigest(attributes[3])
		if err != nil {
			return err
		}
		parent := s
		parent.Digest = index
		pf, _, err := LoadFacts(r, parent, p)
		if err != nil {
			return err
		}
		held, err := loadHolds(r, f.Members, []provenance.Digest{index})
		if err != nil {
			return err
		}
		f.Holds = append(f.Holds, held...)
		if !f.Released && pf.Recorded && pf.Released && len(pf.Holds) == 0 {
			f.Released, f.Current, f.ReleasedWith, f.ViaIndex = true, pf.Current, pf.ReleasedWith, index
			f.Recorded = true
			if f.PushedBy == "" {
				f.PushedBy = pf.PushedBy
			}
		}
	}
	return nil
}

func loadHolds(r Reader, members []string, digests []provenance.Digest) ([]policy.Hold, error) {
	keys := make([]string, 0, len(members)*len(digests))
	for _, d := range digests {
		for _, msp := range members {
			keys = append(keys, HoldKey(d, msp))
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	values, err := r.Get(keys...)
	if err != nil {
		return nil, err
	}
	var holds []policy.Hold
	for _, b := range values {
		if b == nil {
			continue
		}
		var h Hold
		if err := Decode(b, &h); err != nil {
			return nil, err
		}
		if !h.Lifted {
			holds = append(holds, policy.Hold{MSP: h.MSP, By: h.By, Reason: h.Reason})
		}
	}
	return holds, nil
}

func loadApprovals(r Reader, p Promotion, members []string) ([]policy.Approval, error) {
	keys := make([]string, len(members))
	for i, msp := range members {
		keys[i] = p.ApprovalKey(p.Attempt, msp)
	}
	values, err := r.Get(keys...)
	if err != nil {
		return nil, err
	}
	var approvals []policy.Approval
	for _, b := range values {
		if b == nil {
			continue
		}
		var a Approval
		if err := Decode(b, &a); err != nil {
			return nil, err
		}
		approvals = append(approvals, a.Approval)
	}
	return approvals, nil
}

func loadReleases(r Reader, s Subject, p *policy.Policy, f *policy.Facts) error {
	stages := []string{s.Stage}
	if p != nil {
		for _, st := range p.Spec.Stages {
			if st.Name != s.Stage {
				stages = append(stages, st.Name)
			}
		}
	}
	keys := []string{s.ReleaseKey()}
	for _, stage := range stages {
		keys = append(keys, Subject{stage, s.Host, s.Repository, s.Digest}.ReleasedKey())
	}
	values, err := r.Get(keys...)
	if err != nil {
		return err
	}
	var current Current
	if values[0] != nil {
		if err := Decode(values[0], &current); err != nil {
			return err
		}
	}
	for i, stage := range stages {
		if values[i+1] == nil {
			continue
		}
		var rel Release
		if err := Decode(values[i+1], &rel); err != nil {
			return err
		}
		f.ReleasedTo = append(f.ReleasedTo, policy.ReleaseFact{Stage: stage, At: rel.At})
		if stage == s.Stage {
			f.Released, f.ReleasedWith, f.Current = true, rel.Policy, current.Digest == s.Digest
		}
	}
	return nil
}
