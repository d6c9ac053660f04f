package api

import (
	"context"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// Bounds of a simulation.
const (
	defaultSimulated = 50
	maxSimulated     = 500
	// maxSearched bounds the releases that are looked through for those the
	// policy governs.
	maxSearched    = 5000
	simulatedBatch = 250
)

// SimulatePolicy implements waybillv1.WaybillServer.
func (s *service) SimulatePolicy(ctx context.Context, in *waybillv1.SimulatePolicyRequest) (*waybillv1.SimulatePolicyResponse, error) {
	want := int(in.GetReleases())
	if want < 0 || want > maxSimulated {
		return nil, provenance.Errorf(provenance.Invalid, "releases %d: want 1 to %d, or 0 for %d", want, maxSimulated, defaultSimulated)
	}
	if want == 0 {
		want = defaultSimulated
	}
	p, err := policy.Parse([]byte(in.GetPolicy()))
	if err != nil {
		return nil, err
	}
	out := &waybillv1.SimulatePolicyResponse{Name: p.Metadata.Name}
	err = s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		would, err := newCatalogue(r, &p)
		if err != nil {
			return err
		}
		out.Base = int32(would.base)
		for skip := 0; ; skip += simulatedBatch {
			if out.Truncated = skip == maxSearched; out.Truncated {
				return nil
			}
			releases, err := r.Releases(skip, simulatedBatch)
			if err != nil {
				return err
			}
			for _, rel := range releases {
				if !would.governs(rel.Subject) {
					continue
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				one, err := s.simulated(r, rel, would)
				if err != nil {
					return err
				}
				if one.GetChanged() {
					out.Changed++
				}
				if out.Releases = append(out.Releases, one); len(out.Releases) == want {
					return nil
				}
			}
			if len(releases) < simulatedBatch {
				return nil
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// catalogue is the policies as they would be with one of them changed.
type catalogue struct {
	p        *policy.Policy
	base     int // the version in force of p's name, 0 when none
	names    []string
	now      [][]string
	would    [][]string
	replaced int // p's place
}

// newCatalogue is a Conflict where the proposal would be one: a pattern that
// is as specific as another policy's.
func newCatalogue(r Reads, p *policy.Policy) (catalogue, error) {
	c := catalogue{p: p, replaced: -1}
	var in state.Catalogue
	if _, err := state.Read(r, state.PoliciesKey(), &in); err != nil {
		return c, err
	}
	for i, e := range in.Policies {
		c.names, c.now = append(c.names, e.Name), append(c.now, e.Match)
		if e.Name == p.Metadata.Name {
			c.base, c.replaced = e.Version, i
			continue
		}
		if pattern := policy.Overlap(p.Spec.Match, e.Match); pattern != "" {
			return c, provenance.Errorf(provenance.Conflict, "pattern %q is as specific as one of policy %s; ties are refused", pattern, e.Name)
		}
	}
	c.would = slices.Clone(c.now)
	if c.replaced < 0 {
		c.replaced, c.names, c.would = len(c.would), append(c.names, p.Metadata.Name), append(c.would, nil)
	}
	c.would[c.replaced] = p.Spec.Match
	return c, nil
}

// governs tells whether the change says anything about a repository: the
// policy governs it now, or would.
func (c catalogue) governs(s state.Subject) bool {
	return c.governsNow(s) || c.wouldGovern(s)
}

func (c catalogue) governsNow(s state.Subject) bool {
	i := policy.Select(c.now, s.Host, s.Repository)
	return i >= 0 && c.names[i] == c.p.Metadata.Name
}

func (c catalogue) wouldGovern(s state.Subject) bool {
	return policy.Select(c.would, s.Host, s.Repository) == c.replaced
}

func (s *service) simulated(r Reads, rel state.Release, would catalogue) (*waybillv1.SimulatedRelease, error) {
	now, err := s.judge(r, rel.Subject, s.cfg.Now())
	if err != nil {
		return nil, err
	}
	// What the repository is left to, where the policy governs it no more, is
	// not looked up: that no rule of this policy speaks is the change.
	var p *policy.Policy
	if would.wouldGovern(rel.Subject) {
		p = would.p
	}
	after, err := state.JudgeBy(s.reader(r), rel.Subject, p, would.base+1, now.now)
	if err != nil {
		return nil, err
	}
	before, verdict := anew(now.Judgement, now.now), anew(after, now.now)
	out := &waybillv1.SimulatedRelease{
		Stage: rel.Stage, Host: string(rel.Host), Repository: string(rel.Repository), Digest: rel.Digest.String(), ReleasedAt: stamp(rel.At),
		ReleasedWith: version(rel.Policy), Now: string(now.Verdict.Verdict), Before: string(before.Verdict), After: string(verdict.Verdict),
		Changed: before.Verdict != verdict.Verdict, Reasons: reasons(verdict.Reasons),
	}
	return out, nil
}

// anew judges a released image as if its release were asked for now, with its
// approvals given in sight of what is there now: allowed means that nothing
// would be in the way.
func anew(j state.Judgement, now time.Time) policy.Verdict {
	f := &j.Facts
	f.Released, f.Current, f.Promoted, f.Debt, f.ReleasedAt, f.ViaIndex = false, false, true, nil, time.Time{}, provenance.Digest{}
	f.Approvals = slices.Clone(f.Approvals)
	for i := range f.Approvals {
		f.Approvals[i].Policy, f.Approvals[i].Outcomes = policy.Version{}, nil
	}
	v := j.Again(now)
	if v.Releasable {
		v.Verdict = policy.Allowed
	}
	return v
}
