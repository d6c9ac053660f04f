package main

import (
	"context"
	"fmt"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// tags is the one question resolve asks.
type tags interface {
	GetTag(ctx context.Context, host provenance.Host, repo provenance.Repository, tag provenance.Tag) (*waybillv1.GetTagResponse, error)
}

// parseImage reads IMAGE from a command line.
func parseImage(s string) (provenance.Reference, error) {
	ref, err := provenance.ParseReference(s)
	if err != nil {
		return ref, hint(usageError{err}, "IMAGE is host/repository@sha256:... or host/repository:tag, as in reg.example:5000/team/app:1.0")
	}
	return ref, nil
}

// resolve finds the digest of an image named by its tag, in the ledger's tag
// record, and says so on stderr: what follows is about the digest, and the tag
// may have moved by the time it is read.
func (a *app) resolve(ctx context.Context, from tags, ref provenance.Reference) (provenance.Reference, error) {
	if !ref.Digest.IsZero() {
		return ref, nil
	}
	t, err := from.GetTag(ctx, ref.Host, ref.Repository, ref.Tag)
	switch {
	case provenance.CodeOf(err) == provenance.NotFound:
		return ref, noSuchTag(ref, "no gateway has recorded it")
	case err != nil:
		return ref, fmt.Errorf("look up %s: %w", ref, err)
	case t.GetDigest() == "":
		return ref, noSuchTag(ref, "it was deleted")
	}
	d, err := provenance.ParseDigest(t.GetDigest())
	if err != nil {
		return ref, fmt.Errorf("look up %s: %w", ref, err)
	}
	a.notice("%s is %s at block %d", ref, d, t.GetHeight())
	ref.Digest = d
	return ref, nil
}

func noSuchTag(ref provenance.Reference, why string) error {
	return hint(provenance.Errorf(provenance.NotFound, "tag %s is not on the ledger: %s", ref, why),
		"name the image by its digest, or see what was recorded: waybill history %s/%s", ref.Host, ref.Repository)
}

// notice tells a person something beside the result.
func (a *app) notice(format string, args ...any) {
	fmt.Fprintf(a.errOut, "waybill: %s\n", clean(fmt.Sprintf(format, args...)))
}
