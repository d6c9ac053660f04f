package main

import (
	"context"
	"fmt"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// tagReader is the one question resolve asks.
type tagReader interface {
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

// parseRepository reads HOST/REPOSITORY from a command line. An image is none:
// what is asked for one image must not be signed for all.
func parseRepository(s string) (provenance.Host, provenance.Repository, error) {
	ref, err := provenance.ParseReference(s + ":tag")
	if err != nil || !ref.Digest.IsZero() {
		return "", "", hint(usageError{fmt.Errorf("%q is no host/repository", s)}, "as in reg.example:5000/team/app")
	}
	return ref.Host, ref.Repository, nil
}

// askedImage reads IMAGE for a question and resolves a tag through a gateway.
func (a *app) askedImage(ctx context.Context, image string) (provenance.Reference, error) {
	ref, err := a.parseImage(ctx, image)
	if err != nil || !ref.Digest.IsZero() {
		return ref, err
	}
	client, err := a.ask(ctx)
	if err != nil {
		return ref, err
	}
	defer func() { _ = client.Close() }() // only read from
	return a.resolve(ctx, client, ref)
}

// resolve finds the digest of an image named by its tag in a gateway's record:
// for questions alone. What is signed is resolved by ownPeer.image.
func (a *app) resolve(ctx context.Context, from tagReader, ref provenance.Reference) (provenance.Reference, error) {
	if !ref.Digest.IsZero() {
		return ref, nil
	}
	t, err := from.GetTag(ctx, ref.Host, ref.Repository, ref.Tag)
	if err != nil {
		return ref, lookupError(ref, err)
	}
	var d provenance.Digest
	if t.GetDigest() != "" {
		if d, err = provenance.ParseDigest(t.GetDigest()); err != nil {
			return ref, fmt.Errorf("look up %s: %w", ref, err)
		}
	}
	return a.withDigest(ref, d, t.GetHeight())
}

// withDigest fills in the digest that a tag names, and says so on stderr: what
// follows is about the digest, and the tag may have moved by the time it is read.
func (a *app) withDigest(ref provenance.Reference, d provenance.Digest, height uint64) (provenance.Reference, error) {
	if d.IsZero() {
		return ref, noSuchTag(ref, "it was deleted")
	}
	a.notice("%s is %s at block %d", ref, d, height)
	ref.Digest = d
	return ref, nil
}

// lookupError is the error of a tag that could not be resolved.
func lookupError(ref provenance.Reference, err error) error {
	if provenance.CodeOf(err) == provenance.NotFound {
		return noSuchTag(ref, "no gateway has recorded it")
	}
	return fmt.Errorf("look up %s: %w", ref, err)
}

func noSuchTag(ref provenance.Reference, why string) error {
	return hint(provenance.Errorf(provenance.NotFound, "tag %s is not on the ledger: %s", ref, why),
		"name the image by its digest, or see what was recorded: waybill history %s/%s", ref.Host, ref.Repository)
}

// notice tells a person something beside the result.
func (a *app) notice(format string, args ...any) {
	fmt.Fprintf(a.errOut, "waybill: %s\n", sanitize(fmt.Sprintf(format, args...)))
}
