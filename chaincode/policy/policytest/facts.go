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
	PushedBy     string                 `json:"pushedBy"`
	PushedAt     time.Time              `json:"pushedAt"`
	MediaType    string                 `json:"mediaType"`
	ArtifactType string                 `json:"artifactType"`
	Size         int64                  `json:"size"`
	Children     []provenance.Digest    `json:"children"`
	Tags         []string               `json:"tags"`
	Labels       map[string]string      `json:"labels"`
	Context      map[string]contextJSON `json:"context"`
	Members      []string               `json:"members"`
	Holds        []policy.Hold          `json:"holds"`
	LastHold     time.Time              `json:"lastHold"`
	Evidence     []evidenceJSON         `json:"evidence"`
	Waivers      []waiverJSON           `json:"waivers"`
	Witnesses    []witnessJSON          `json:"witnesses"`
	Promoted     bool                   `json:"promoted"`
	Requester    policy.Person          `json:"requester"`
	Approvals    []policy.Approval      `json:"approvals"`
	Released     bool                   `json:"released"`
	ReleasedAt   time.Time              `json:"releasedAt"`
	Debt         *policy.Debt           `json:"debt"`
	Current      bool                   `json:"current"`
	ReleasedTo   []releaseJSON          `json:"releasedTo"`
	ReleasedWith policy.Version         `json:"releasedWith"`
	ViaIndex     provenance.Digest      `json:"viaIndex"`
}

type contextJSON map[string]struct {
	Value json.RawMessage `json:"value"`
	At    time.Time       `json:"at"`
}

type evidenceJSON struct {
	ID        string            `json:"id"`
	Type      string            `json:"type"`
	Signer    policy.Signer     `json:"signer"`
	At        time.Time         `json:"at"`
	Facts     json.RawMessage   `json:"facts"`
	On        provenance.Digest `json:"on"`
	Withdrawn time.Time         `json:"withdrawn"`
	Why       string            `json:"why"`
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
	Stage string    `json:"stage"`
	At    time.Time `json:"at"`
}

func (j factsJSON) facts() (policy.Facts, error) {
	f := policy.Facts{
		Host: j.Host, Repository: j.Repository, Digest: j.Digest, Stage: j.Stage, Recorded: j.Recorded, PushedBy: j.PushedBy, PushedAt: j.PushedAt,
		MediaType: j.MediaType, ArtifactType: j.ArtifactType, Size: j.Size, Children: j.Children, Tags: j.Tags, Labels: j.Labels,
		Members: j.Members, Holds: j.Holds, LastHold: j.LastHold, Promoted: j.Promoted, Requester: j.Requester, Approvals: j.Approvals,
		Released: j.Released, ReleasedAt: j.ReleasedAt, Debt: j.Debt, Current: j.Current, ReleasedWith: j.ReleasedWith, ViaIndex: j.ViaIndex,
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
		piece := policy.Evidence{ID: e.ID, Type: e.Type, Signer: e.Signer, At: e.At, On: e.On, Withdrawn: e.Withdrawn, Why: e.Why}
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
			value, err := policy.DecodeFacts(fmt.Appendf(nil, `{"v":%s}`, v.Value))
			if err != nil {
				return f, fmt.Errorf("context %s of %s: %w", name, msp, err)
			}
			if f.Context == nil {
				f.Context = map[string]map[string]policy.Value{}
			}
			if f.Context[msp] == nil {
				f.Context[msp] = map[string]policy.Value{}
			}
			f.Context[msp][name] = policy.Value{Value: value["v"], At: v.At}
		}
	}
	return f, nil
}
