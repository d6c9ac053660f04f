package index

import (
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// before decodes what stood under a key before the transaction at hand.
func before[T any](w *writer, key string) (record T, found bool, err error) {
	b := w.before[key]
	if b == nil {
		return record, false, nil
	}
	return record, true, state.Decode(b, &record)
}

// because adds a reason to a line.
func because(line, reason string) string {
	if reason == "" {
		return line
	}
	return line + ": " + reason
}

// released keeps the table of releases. The record of a break-glass release is
// written once more when it is reviewed.
func (w *writer) released(write block.Write) error {
	old, found, err := before[state.Release](w, write.Key)
	if err != nil {
		return err
	}
	var rel state.Release
	if err := state.Decode(write.Value, &rel); err != nil {
		return err
	}
	switch {
	case rel.Debt != nil && rel.Debt.Reviewed == nil:
		err = w.requested(readmodel.Waiting{Key: write.Key, MSP: rel.Debt.By.MSP, Since: rel.Debt.At})
	case old.Debt != nil:
		err = w.requestEnded(write.Key, "")
	}
	if err != nil {
		return err
	}
	r := about(KindRelease, rel.Subject)
	r.Previous, r.JSON = rel.Previous, write.Value
	same := found && old.By == rel.By && old.At.Equal(rel.At) // released once, written twice
	if same && rel.Debt != nil && rel.Debt.Reviewed != nil && old.Debt != nil && old.Debt.Reviewed == nil {
		r.Kind, r.Previous = KindReview, provenance.Digest{}
		r.Detail = because(fmt.Sprintf("break-glass release to %s by %s is reviewed", rel.Stage, rel.Debt.By), rel.Review)
		if err := w.record(r); err != nil {
			return err
		}
		return w.exec(&w.st.debt, write.Value, []byte(write.Key))
	}
	r.Detail = fmt.Sprintf("released to %s under policy %s version %d", rel.Stage, rel.Policy.Name, rel.Policy.Version)
	switch {
	case rel.Rollback:
		r.Kind, r.Detail = KindRollback, "rolled back: "+r.Detail
	case rel.Debt != nil:
		r.Kind = KindBreakGlass
		r.Detail += because(fmt.Sprintf(" without %s, to be reviewed by %s", strings.Join(rel.Debt.Without, ", "), timeOf(rel.Debt.Due)), rel.Debt.Reason)
	case rel.Auto:
		r.Detail += ", automatically"
	}
	if err := w.record(r); err != nil {
		return err
	}
	return w.exec(&w.st.release, []byte(write.Key), w.at.Block, w.at.Tx, w.seq(), write.Value)
}

// current notes the end of a pin: a release itself is told by its own record.
func (w *writer) current(write block.Write) error {
	old, found, err := before[state.Current](w, write.Key)
	if err != nil || !found {
		return err
	}
	var now state.Current
	if err := state.Decode(write.Value, &now); err != nil {
		return err
	}
	if !old.Pinned || now.Pinned || old.Digest != now.Digest {
		return nil
	}
	_, a, _ := state.SplitKey(write.Key)
	if len(a) != 3 {
		return provenance.Errorf(provenance.Internal, "key %q is no release key", write.Key)
	}
	return w.record(readmodel.Record{
		Kind: KindResume, Stage: a[0], Host: provenance.Host(a[1]), Repository: provenance.Repository(a[2]), Digest: now.Digest,
		Detail: "releases to " + a[0] + " may be automatic again", JSON: write.Value,
	})
}

// proposal keeps the table of proposals. It is an act when it is opened, and
// when its status changes.
func (w *writer) proposal(write block.Write) error {
	old, found, err := before[state.Proposal](w, write.Key)
	if err != nil {
		return err
	}
	var p state.Proposal
	if err := state.Decode(write.Value, &p); err != nil {
		return err
	}
	if !found || (p.Status == state.ProposalOpen && old.Status != state.ProposalOpen) {
		if err := w.record(readmodel.Record{Kind: KindProposal, Detail: fmt.Sprintf("proposal %s is open: %s", short(p.ID), subjectOf(p)), JSON: write.Value}); err != nil {
			return err
		}
	}
	ended := readmodel.Record{JSON: write.Value}
	switch p.Status {
	case state.ProposalAccepted:
		ended.Kind, ended.Detail = KindAccepted, fmt.Sprintf("proposal %s is accepted: %s", short(p.ID), subjectOf(p))
	case state.ProposalRejected:
		ended.Kind, ended.Detail = KindRejected, fmt.Sprintf("proposal %s is rejected: %s", short(p.ID), subjectOf(p))
	case state.ProposalWithdrawn:
		ended.Kind, ended.Detail = KindProposalWithdrawn, fmt.Sprintf("proposal %s is withdrawn: %s", short(p.ID), subjectOf(p))
	}
	if ended.Kind != "" && (!found || old.Status != p.Status) {
		if err := w.record(ended); err != nil {
			return err
		}
	}
	if err := w.exec(&w.st.proposal, []byte(write.Key), w.at.Block, w.at.Tx, w.seq(), string(p.Status), write.Value); err != nil {
		return err
	}
	if p.Status != state.ProposalOpen {
		return w.requestEnded(write.Key, "")
	}
	return w.requested(readmodel.Waiting{Key: write.Key, MSP: p.By.MSP, Since: p.At})
}

func subjectOf(p state.Proposal) string {
	if p.Kind != state.ProposePolicy {
		return p.Title()
	}
	return fmt.Sprintf("%s (%.12s)", p.Title(), p.Hash)
}

// short is enough of an id for a line for people; the record has the whole.
func short(id string) string {
	const enough = 12
	if len(id) <= enough {
		return id
	}
	return id[:enough]
}

// lacking names the rules that were not met.
func lacking(v policy.Verdict) string {
	var rules []string
	for _, r := range v.Reasons {
		if r.Outcome == policy.Unmet || r.Outcome == policy.Violated {
			rules = append(rules, r.Rule)
		}
	}
	if len(rules) == 0 {
		return ""
	}
	return " (" + strings.Join(rules, ", ") + ")"
}

// signerOf names a signer in a line for people.
func signerOf(s policy.Signer) string {
	switch s.Kind {
	case policy.SignedByKey:
		return "key " + s.Key + " of " + s.MSP
	case policy.SignedByCertificate:
		if s.MSP == "" {
			return s.Identity + " by " + s.Issuer + " below the " + state.RootName("", s.Key)
		}
		return s.Identity + " below a root of " + s.MSP
	}
	return policy.Person{MSP: s.MSP, Name: s.Name}.String()
}
