package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// releaseView is a release with its hash, as release:Get returns it.
type releaseView struct {
	Release state.Release `json:"release"`
	Hash    string        `json:"hash"`
}

func newReviewCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, reasoned{
		name: "review", short: "Accept another organisation's break-glass release",
		long: "Accept another organisation's break-glass release. What is signed names the hash\nof the release that your own organisation's peer shows.",
		why:  "the outage was real", signer: "security/release-manager",
		done: "reviewed the release of", fn: "release:Review",
		args: func(stage, reason *string) extraArgs {
			return func(ctx context.Context, p ownPeer, ref provenance.Reference) ([]string, error) {
				hash, err := p.reviewedRelease(ctx, ref, *stage)
				return []string{hash, *reason}, err
			}
		},
	})
}

// reviewedRelease shows the release that is about to be reviewed and returns its hash,
// computed here from what was shown.
func (p ownPeer) reviewedRelease(ctx context.Context, ref provenance.Reference, stage string) (string, error) {
	view, err := await(ctx, p, func() (releaseView, error) {
		return evaluate[releaseView](ctx, p, "release:Get", string(ref.Host), string(ref.Repository), ref.Digest.String(), stage)
	})
	if err != nil {
		return "", err
	}
	rel, hash := view.Release, view.Release.Hash()
	if want := (state.Subject{Stage: stage, Host: ref.Host, Repository: ref.Repository, Digest: ref.Digest}); rel.Subject != want {
		return "", mismatch(p.me.org.Org+"'s peer", fmt.Sprintf("the release of %s to %s", byDigest(ref), stage),
			fmt.Sprintf("%s/%s@%s to %s", rel.Host, rel.Repository, rel.Digest, rel.Stage))
	}
	if hash != view.Hash {
		return "", provenance.Errorf(provenance.Internal, "the release that %s's peer shows hashes to %.12s and not to %.12s, as it says", p.me.org.Org, hash, view.Hash)
	}
	p.a.notice("reviewing release %.12s of %s to %s, by %s at %s under policy %s", hash, ref.Digest.Short(), stage, rel.By, rel.At.UTC().Format(time.DateTime), policyRef(rel.Policy))
	if d := rel.Debt; d != nil {
		p.a.notice("a break-glass release by %s without %s: %s; the review is due by %s", d.By, dash(strings.Join(d.Without, ", ")), d.Reason, d.Due.UTC().Format(time.DateTime))
	}
	return hash, nil
}
