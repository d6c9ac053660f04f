package policytest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// factsJSON is policy.Facts as the table writes it.
type factsJSON struct {
	Host         provenance.Host        `json:"host"`
	Repository   provenance.Repository  `json:"repository"`
	Digest       provenance.Digest      `json:"digest"`
	Stage        string                 `json:"stage"`
	Recorded     bool                   `json:"recorded"`
	Proven       bool                   `json:"proven"`
	PushedBy     string                 `json:"pushedBy"`
	PushedAt     time.Time              `json:"pushedAt"`
	MediaType    string                 `json:"mediaType"`
	ArtifactType string                 `json:"artifactType"`
	Size         int64                  `json:"size"`
	Children     []provenance.Digest    `json:"children"`
	Tags         []string               `json:"tags"`
	TagsCut      bool                   `json:"tagsCut"`
	Labels       map[string]string      `json:"labels"`
	Context      map[string]contextJSON `json:"context"`
	Members      []string               `json:"members"`
	Holds        []policy.Hold          `json:"holds"`
	LastHold     time.Time              `json:"lastHold"`
	Clock        *time.Time             `json:"clock"` // absent: the case's now
	Evidence     []evidenceJSON         `json:"evidence"`
	Waivers      []waiverJSON           `json:"waivers"`
	Witnesses    []witnessJSON          `json:"witnesses"`
	Promoted     bool                   `json:"promoted"`
	Requester    policy.Person          `json:"requester"`
	Approvals    []policy.Approval      `json:"approvals"`
	Attempt      int                    `json:"attempt"`
	Lapsed       string                 `json:"lapsed"`
	Released     bool                   `json:"released"`
	ReleasedAt   time.Time              `json:"releasedAt"`
	Debt         *policy.Debt           `json:"debt"`
	Current      bool                   `json:"current"`
	ReleasedTo   []releaseJSON          `json:"releasedTo"`
	ReleasedWith policy.Version         `json:"releasedWith"`
	ViaIndex     provenance.Digest      `json:"viaIndex"`
}

type contextJSON map[string]valueJSON

type valueJSON struct {
	Value json.RawMessage `json:"value"`
	At    time.Time       `json:"at"`
	Past  []valueJSON     `json:"past"`
}

func (j valueJSON) value() (policy.Value, error) {
	decoded, err := policy.DecodeFacts(fmt.Appendf(nil, `{"v":%s}`, j.Value))
	if err != nil {
		return policy.Value{}, err
	}
	v := policy.Value{Value: decoded["v"], At: j.At}
	for _, old := range j.Past {
		was, err := old.value()
		if err != nil {
			return v, err
		}
		v.Past = append(v.Past, was)
	}
	return v, nil
}

type evidenceJSON struct {
	ID        string            `json:"id"`
	Type      string            `json:"type"`
	Signer    policy.Signer     `json:"signer"`
	At        time.Time         `json:"at"`
	Facts     json.RawMessage   `json:"facts"`
	Claims    map[string]string `json:"claims"`
	On        provenance.Digest `json:"on"`
	Withdrawn time.Time         `json:"withdrawn"`
	Why       string            `json:"why"`

	Superseded bool `json:"superseded"`
	Cut        bool `json:"cut"`
}

type waiverJSON struct {
	ID        string          `json:"id"`
	Stage     string          `json:"stage"`
	Rule      string          `json:"rule"`
	Reason    string          `json:"reason"`
	Until     time.Time       `json:"until"`
	Approvers []policy.Person `json:"approvers"`
	Revoked   bool            `json:"revoked"`
}

type witnessJSON struct {
	MSP string    `json:"msp"`
	At  time.Time `json:"at"`
}

type releaseJSON struct {
	Stage      string    `json:"stage"`
	At         time.Time `json:"at"`
	Unreviewed bool      `json:"unreviewed"`
}

// facts returns the facts of a case at now: the ledger's clock goes with it
// where the case does not say otherwise.
func (j factsJSON) facts(now time.Time) (policy.Facts, error) {
	f := policy.Facts{
		Host: j.Host, Repository: j.Repository, Digest: j.Digest, Stage: j.Stage, Recorded: j.Recorded, Proven: j.Proven, PushedBy: j.PushedBy, PushedAt: j.PushedAt,
		MediaType: j.MediaType, ArtifactType: j.ArtifactType, Size: j.Size, Children: j.Children, Tags: j.Tags, Labels: j.Labels,
		TagsCut: j.TagsCut, Clock: now, Attempt: j.Attempt, Lapsed: j.Lapsed,
		Members: j.Members, Holds: j.Holds, LastHold: j.LastHold, Promoted: j.Promoted, Requester: j.Requester, Approvals: j.Approvals,
		Released: j.Released, ReleasedAt: j.ReleasedAt, Debt: j.Debt, Current: j.Current, ReleasedWith: j.ReleasedWith, ViaIndex: j.ViaIndex,
	}
	if j.Clock != nil {
		f.Clock = *j.Clock
	}
	for _, w := range j.Waivers {
		f.Waivers = append(f.Waivers, policy.Waiver(w))
	}
	for _, w := range j.Witnesses {
		f.Witnesses = append(f.Witnesses, policy.Witness(w))
	}
	for _, r := range j.ReleasedTo {
		f.ReleasedTo = append(f.ReleasedTo, policy.ReleaseFact(r))
	}
	for _, e := range j.Evidence {
		piece := policy.Evidence{ID: e.ID, Type: e.Type, Signer: e.Signer, At: e.At, Claims: e.Claims, On: e.On, Withdrawn: e.Withdrawn, Why: e.Why, Superseded: e.Superseded, Cut: e.Cut}
		if len(e.Facts) > 0 {
			facts, err := policy.DecodeFacts(e.Facts)
			if err != nil {
				return f, fmt.Errorf("evidence %s: %w", e.ID, err)
			}
			piece.Facts = facts
		}
		f.Evidence = append(f.Evidence, piece)
	}
	for msp, values := range j.Context {
		for name, v := range values {
			value, err := v.value()
			if err != nil {
				return f, fmt.Errorf("context %s of %s: %w", name, msp, err)
			}
			if f.Context == nil {
				f.Context = map[string]map[string]policy.Value{}
			}
			if f.Context[msp] == nil {
				f.Context[msp] = map[string]policy.Value{}
			}
			f.Context[msp][name] = value
		}
	}
	return f, nil
}
