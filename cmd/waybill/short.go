package main

import (
	"context"
	"regexp"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// shortDigest is the beginning of a digest, alone or after host/repository@.
var shortDigest = regexp.MustCompile(`^(?:(.+)@)?(?:sha256:)?([0-9a-f]{6,63})$`)

// parseImage reads IMAGE of a question. The beginning of a digest is completed by a gateway.
func (a *app) parseImage(ctx context.Context, typed string) (provenance.Reference, error) {
	whole, err := a.wholeImage(ctx, typed)
	if err != nil {
		return provenance.Reference{}, err
	}
	return parseImage(whole)
}

// wholeImage completes the beginning of a digest to the one image there is of it; what
// is none is returned as it is.
func (a *app) wholeImage(ctx context.Context, typed string) (string, error) {
	m := shortDigest.FindStringSubmatch(typed)
	if m == nil || strings.Contains(m[1], "@") {
		return typed, nil
	}
	res, err := fetch(ctx, a, func(c gatewayAPI) (*waybillv1.FindImagesResponse, error) { return c.FindImages(ctx, m[2], m[1]) })
	if err != nil {
		return typed, err
	}
	switch images := res.GetImages(); {
	case len(images) == 0:
		return typed, provenance.Errorf(provenance.NotFound, "no image begins with %s", typed)
	case len(images) > 1:
		more := ""
		if res.GetTruncated() {
			more = ", and others"
		}
		return typed, hint(usagef("%s: more than one image begins with that: %s%s", typed, strings.Join(images, ", "), more), "give more of its digits, or its repository")
	default:
		a.notice("%s is %s", typed, images[0])
		return images[0], nil
	}
}

// signedImage is wholeImage for what is signed: one's own gateway alone completes it, since
// the beginning of a digest can be made to be that of another.
func (p ownPeer) signedImage(ctx context.Context, typed string) (string, error) {
	if !shortDigest.MatchString(typed) {
		return typed, nil
	}
	c, err := p.a.clients()
	if err != nil {
		return typed, err
	}
	host, _, err := p.a.gatewayOf(ctx, c, p.me)
	if err != nil {
		return typed, err
	}
	if host.MSPID != p.me.org.MSPID {
		return typed, hint(usagef("%s is the beginning of a digest, and only a gateway of %s may complete what is signed", typed, p.me.org.Org), "name the image by its whole digest")
	}
	return p.a.wholeImage(ctx, typed)
}
