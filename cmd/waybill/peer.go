package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/network"
)

// peer is an organisation's own peer as one of its people reaches it.
type peer interface {
	SubmitTransient(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error)
	// EvaluateOwn asks that organisation's peer and never another's.
	EvaluateOwn(ctx context.Context, fn string, args ...string) ([]byte, error)
	Height(ctx context.Context) (uint64, error)
	io.Closer
}

// ownPeer is the peer of one's own organisation. What a person signs is resolved
// and judged by it and by nothing else: a gateway, and every peer of somebody
// else, may lie about what is about to be signed.
type ownPeer struct {
	peer
	me person
	a  *app
}

// signerPeer opens the signer's own peer.
func (a *app) signerPeer() (ownPeer, error) {
	c, me, err := a.signer()
	if err != nil {
		return ownPeer{}, err
	}
	if a.gateway != "" {
		a.notice("--gateway is for questions; what is signed is resolved by %s's own peer", me.org.Org)
	}
	return a.dial(c, me)
}

// readerPeer opens the reader's own peer. Where nobody is named it is that of the
// folder's first organisation, and a notice says so.
func (a *app) readerPeer() (ownPeer, error) {
	c, err := a.clients()
	if err != nil {
		return ownPeer{}, err
	}
	me, err := a.reader(c)
	if err != nil {
		return ownPeer{}, err
	}
	if a.as == "" && len(c.Orgs) > 1 {
		a.notice("nobody is named with --as: %s's peer answers", me.org.Org)
	}
	return a.dial(c, me)
}

// reader is who asks: the auditor of the first organisation where nobody is named.
func (a *app) reader(c network.Clients) (person, error) {
	if len(c.Orgs) == 0 {
		return person{}, fmt.Errorf("the network in %s has no organisation", a.dir)
	}
	if a.as == "" {
		return findIdentity(c, c.Orgs[0].Org+"/"+auditor)
	}
	return findIdentity(c, a.as)
}

func (a *app) dial(c network.Clients, me person) (ownPeer, error) {
	me, err := a.unlocked(me)
	if err != nil {
		return ownPeer{}, err
	}
	conn, err := a.backends.peer(c, me)
	if err != nil {
		return ownPeer{}, fmt.Errorf("reach %s's peer: %w", me.org.Org, err)
	}
	return ownPeer{conn, me, a}, nil
}

// peerError names the peer in an error that says it does not answer.
func (p ownPeer) peerError(err error) error {
	if provenance.CodeOf(err) == provenance.Unavailable {
		return fmt.Errorf("%s's peer at %s: %w", p.me.org.Org, p.me.org.PeerAddress, err)
	}
	return err
}

// evaluate asks the own peer one question and reads its answer.
func evaluate[T any](ctx context.Context, p ownPeer, fn string, args ...string) (T, error) {
	var v T
	b, err := p.EvaluateOwn(ctx, fn, args...)
	if err != nil {
		return v, p.peerError(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, provenance.Wrap(provenance.Internal, err, "read the answer of %s's peer to %s", p.me.org.Org, fn)
	}
	return v, nil
}

// image reads IMAGE from a command line and resolves a tag by the own peer's
// tag record. A digest that was typed is what it is.
func (p ownPeer) image(ctx context.Context, typed string) (provenance.Reference, error) {
	typed, err := p.signedImage(ctx, typed)
	if err != nil {
		return provenance.Reference{}, err
	}
	ref, err := parseImage(typed)
	if err != nil || !ref.Digest.IsZero() {
		return ref, err
	}
	height, err := p.Height(ctx)
	if err != nil {
		return ref, p.peerError(err)
	}
	t, err := evaluate[state.Tag](ctx, p, "tag:Get", string(ref.Host), string(ref.Repository), string(ref.Tag))
	if err != nil {
		return ref, lookupError(ref, err)
	}
	return p.a.withDigest(ref, t.Digest, height)
}

// digest reads IMAGE or a digest alone.
func (p ownPeer) digest(ctx context.Context, typed string) (provenance.Digest, error) {
	if d, err := provenance.ParseDigest(typed); err == nil {
		return d, nil
	}
	ref, err := p.image(ctx, typed)
	return ref.Digest, err
}

// verdict asks the own peer for the verdict on an image.
func (p ownPeer) verdict(ctx context.Context, ref provenance.Reference, stage string) (policy.Verdict, error) {
	// Before the verdict: it is of this height or a later one.
	height, err := p.Height(ctx)
	if err != nil {
		return policy.Verdict{}, p.peerError(err)
	}
	v, err := evaluate[policy.Verdict](ctx, p, "verdict:Ask", string(ref.Host), string(ref.Repository), ref.Digest.String(), stage)
	if err != nil {
		return v, err
	}
	v.Height = height
	return v, checkAnswer(p.me.org.Org+"'s peer", v, ref, stage)
}

// promotionVerdict is verdict for a decision on a promotion: there must be one.
func (p ownPeer) promotionVerdict(ctx context.Context, ref provenance.Reference, stage string) (policy.Verdict, error) {
	return await(ctx, p, func() (policy.Verdict, error) {
		v, err := p.verdict(ctx, ref, stage)
		if err == nil && v.Attempt == 0 && (v.Verdict == policy.Pending || v.Verdict == policy.Denied) {
			err = hint(provenance.Errorf(provenance.NotFound, "%s's peer knows of no promotion of %s to %s", p.me.org.Org, ref, stage),
				"request it with: waybill promote %s --to %s", byDigest(ref), stage)
		}
		return v, err
	})
}

// await asks again for a moment while the own peer does not know what the
// question is about: a transaction of another organisation is final on that one's peer first.
func await[T any](ctx context.Context, p ownPeer, ask func() (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, p.a.awaitTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		v, err := ask()
		if provenance.CodeOf(err) != provenance.NotFound {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, err
		case <-tick.C:
		}
	}
}

// checkAnswer compares a verdict with the question it is to answer.
func checkAnswer(who string, v policy.Verdict, ref provenance.Reference, stage string) error {
	if v.Image == byDigest(ref) && v.Digest == ref.Digest && v.Stage == stage {
		return nil
	}
	return mismatch(who, fmt.Sprintf("%s and stage %q", byDigest(ref), stage), fmt.Sprintf("%s (%s) and stage %q", v.Image, v.Digest, v.Stage))
}

// mismatch says that an answer is not about what was asked.
func mismatch(who, asked, got string) error {
	return hint(provenance.Errorf(provenance.Internal, "%s answers another question: asked about %s, it speaks of %s", who, asked, got),
		"it is broken or lies; nothing that it says should be relied on")
}
