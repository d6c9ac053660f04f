package sweep

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/findings"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// maxUnlisted is after how many lists that could not be had a sweep asks for no more.
const maxUnlisted = 3

// referrers finds what refers to a recorded image and is not recorded. A
// registry with the referrers API keeps signatures and documents without a tag,
// so that no list of tags has them. They are asked for of recorded images only:
// those of an image that this sweep records are the next one's to find.
func (p *pass) referrers(ctx context.Context, repo provenance.Repository, subject provenance.Digest) error {
	if p.unlisted >= maxUnlisted {
		return nil
	}
	found, err := withRetries(ctx, p, func(ctx context.Context) (registry.Referrers, error) {
		if err := p.request(ctx); err != nil {
			return registry.Referrers{}, err
		}
		return p.reg.Reader.ListedReferrers(ctx, repo, subject, p.request)
	})
	switch {
	case fatal(ctx, err):
		return err
	case err != nil && found.Supported:
		// Whoever may push beside this image can bring that about, and must not
		// keep the others' from being looked at.
		p.note("what refers to %s@%s could not be listed: %v", repo, subject, err)
		return nil
	case err != nil:
		p.unlisted++
		p.note("signatures without a tag may have been missed: %v", err)
		return nil
	case !found.Supported: // by the same registry for none of its images
		p.unlisted = maxUnlisted
		return nil
	case !found.Complete:
		p.note("more than %d manifests refer to %s@%s: those beyond were not looked at", len(found.List), repo, subject)
	}
	p.unlisted = 0
	for _, r := range found.List {
		f, err := p.untagged(ctx, repo, r.Digest)
		if err == nil && f != nil {
			f.Detail = "refers to " + subject.Short()
			err = p.compared(ctx, f, func(*run) {})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// untagged compares an image that the registry lists without a tag with the
// ledger; nil: it is recorded. That its bytes are there is found out when its
// event is made.
func (p *pass) untagged(ctx context.Context, repo provenance.Repository, d provenance.Digest) (*findings.Finding, error) {
	var place state.Place
	var recorded bool
	err := p.View(ctx, func(r Index) (err error) {
		place = state.Place{}
		recorded, err = state.Read(r, state.PlaceKey(d, p.host, repo), &place)
		return err
	})
	switch {
	case err != nil || recorded && !place.Deleted:
		return nil, err
	case recorded:
		return &findings.Finding{Kind: findings.Restored, Repository: repo, Digest: d}, nil
	}
	return &findings.Finding{Kind: findings.Unrecorded, Repository: repo, Digest: d}, nil
}
