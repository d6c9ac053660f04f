package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// reviewed is what an approver says was looked at; empty: what the own peer shows now.
type reviewed struct{ policy, evidenceSet string }

func newApproveCmd(a *app) *cobra.Command {
	var stage, reason string
	var seen reviewed
	cmd := &cobra.Command{
		Use: "approve IMAGE --to STAGE", Short: "Approve a promotion for your organisation", Args: operands("IMAGE"),
		Long: `Approve a promotion for your organisation. What is signed is the digest (a tag
is looked up at your own organisation's peer), the stage, which request of the
promotion it is, the policy version with the hash of its text, and the hash of
the evidence. All of it comes from your own peer and nobody else; the text is
hashed on this machine.

--policy and --evidence-set name what you reviewed (both are in the JSON of
waybill verify). Where your peer says something else, or either changes on the
way, nothing is approved: look again.

The last approval a policy asks for releases the image in the same
transaction.` + decisionHelp,
		Example: examples(`waybill approve reg.example/app:1.0 --to production \`, `    --as security/release-manager`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.decide(ctx, "approved promotion of", "promotion:Approve", args[0], stage,
				func(ctx context.Context, p ownPeer, ref provenance.Reference) ([]string, error) {
					return p.approval(ctx, ref, stage, reason, seen)
				})
		}),
	}
	stageFlag(cmd, &stage)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&seen.policy, "policy", "", "the policy version that was reviewed, as NAME@VERSION")
	cmd.Flags().StringVar(&seen.evidenceSet, "evidence-set", "", "the hash of the evidence that was reviewed")
	return cmd
}

// approval finds out what an approval signs beside the image and the stage. It
// is Stale where that is not what was reviewed.
func (p ownPeer) approval(ctx context.Context, ref provenance.Reference, stage, reason string, seen reviewed) ([]string, error) {
	v, err := p.promotionVerdict(ctx, ref, stage)
	if err != nil {
		return nil, err
	}
	if v.Policy == nil || v.EvidenceSet == "" {
		if err := p.a.printVerdict(v); err != nil {
			return nil, err
		}
		if v.Verdict == policy.Allowed { // nothing was approved: that is no yes
			return nil, provenance.Errorf(provenance.Internal, "%s's peer names no policy and no evidence: nothing to approve", p.me.org.Org)
		}
		return nil, answered(v)
	}
	rules := policyRef(*v.Policy)
	look := "look again: waybill verify " + byDigest(ref) + " --stage " + stage
	switch {
	case seen.policy != "" && seen.policy != rules:
		return nil, hint(provenance.Errorf(provenance.Stale, "policy %s was reviewed, and %s is in force", seen.policy, rules), "%s", look)
	case seen.evidenceSet != "" && seen.evidenceSet != v.EvidenceSet:
		return nil, hint(provenance.Errorf(provenance.Stale, "evidence set %.12s was reviewed, and it is %.12s now", seen.evidenceSet, v.EvidenceSet), "%s", look)
	}
	hash, err := p.policyHash(ctx, *v.Policy)
	if err != nil {
		return nil, err
	}
	p.a.notice("approving %s under policy %s (%.12s) with evidence %.12s", v.Digest.Short(), rules, hash, v.EvidenceSet)
	return []string{strconv.Itoa(v.Attempt), rules, hash, v.EvidenceSet, reason}, nil
}

// policyHash reads the text of a policy version, hashes it here and compares
// that with what the verdict says it went by.
func (p ownPeer) policyHash(ctx context.Context, version policy.Version) (string, error) {
	stored, err := p.policyVersion(ctx, version.Name, version.Version)
	if err != nil {
		return "", err
	}
	hash := hashOf(stored.Text)
	if hash != version.Hash {
		return "", provenance.Errorf(provenance.Internal, "%s's peer names policy %s with hash %.12s, and the text it gives hashes to %.12s", p.me.org.Org, policyRef(version), version.Hash, hash)
	}
	return hash, nil
}

// policyVersion reads a version of a policy; 0 is the one in force.
func (p ownPeer) policyVersion(ctx context.Context, name string, version int) (state.PolicyVersion, error) {
	stored, err := evaluate[state.PolicyVersion](ctx, p, "policy:Get", name, strconv.Itoa(version))
	if err != nil {
		return stored, err
	}
	if stored.Name != name || version != 0 && stored.Version != version {
		return stored, mismatch(p.me.org.Org+"'s peer", fmt.Sprintf("policy %s@%d", name, version), fmt.Sprintf("%s@%d", stored.Name, stored.Version))
	}
	return stored, nil
}

// policyRef names a policy version as an approver signs it.
func policyRef(v policy.Version) string { return fmt.Sprintf("%s@%d", v.Name, v.Version) }

// hashOf is the hex SHA-256 that the ledger names a text by.
func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// attempt is which request of a promotion a decision is about.
func (p ownPeer) attempt(ctx context.Context, ref provenance.Reference, stage string) (string, error) {
	v, err := p.promotionVerdict(ctx, ref, stage)
	return strconv.Itoa(v.Attempt), err
}

func newRejectCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, reasoned{
		name: "reject", short: "Reject a promotion for your organisation",
		long: "Reject a promotion for your organisation. It counts against the approvals that\nthe policy asks for: when too few organisations are left to give them, the\npromotion ends, and must be requested again.",
		why:  "CVE-2026-1234 is not fixed", signer: "security/release-manager",
		done: "rejected promotion of", fn: "promotion:Reject", args: attemptAndReason,
	})
}

func newCancelCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, reasoned{
		name: "cancel", short: "Take back a promotion that you or your organisation asked for",
		long: "Take back a promotion that you or your organisation asked for. Whoever asked for\nit may, and an admin of the same organisation. It goes on while another\norganisation asks for it, too; else it ends, and its approvals with it.",
		why:  "wrong tag", signer: "vendor/publisher",
		done: "cancelled the promotion of", fn: "promotion:Cancel", args: attemptAndReason,
	})
}

// attemptAndReason are the arguments of a decision that names the attempt it is
// about, so that it does not fall on a later request.
func attemptAndReason(stage, reason *string) extraArgs {
	return func(ctx context.Context, p ownPeer, ref provenance.Reference) ([]string, error) {
		attempt, err := p.attempt(ctx, ref, *stage)
		return []string{attempt, *reason}, err
	}
}
