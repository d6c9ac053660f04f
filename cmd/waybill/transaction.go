package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// committed is a transaction as it stands on the ledger; -o json prints it.
type committed struct {
	TxID   string          `json:"txid"`
	Block  uint64          `json:"block"`
	By     string          `json:"by"`
	Result json.RawMessage `json:"result,omitempty"`
}

// submit signs one transaction that says only what was typed, with the signer's
// own key, and waits until it is in a block.
func (a *app) submit(ctx context.Context, fn string, args ...string) (committed, error) {
	p, err := a.signerPeer()
	if err != nil {
		return committed{}, err
	}
	defer p.close()
	return p.submit(ctx, nil, fn, args...)
}

// submit signs one transaction, with values that reach the peers beside it, and
// waits until it is in a block.
func (p ownPeer) submit(ctx context.Context, transient map[string][]byte, fn string, args ...string) (committed, error) {
	res, err := p.SubmitTransient(ctx, transient, fn, args...)
	if provenance.PhaseOf(err) == provenance.Role {
		return committed{}, hint(err, "%s signed this; see its roles with: waybill member list; an admin grants one with: waybill member grant %s ROLE --as %s/admin", p.me, p.me.name, p.me.org.Org)
	}
	if err != nil {
		return committed{}, p.peerError(err)
	}
	r := committed{TxID: res.TxID, Block: res.Block, By: p.me.String()}
	if json.Valid(res.Payload) {
		r.Result = res.Payload
	}
	return r, nil
}

// close ends the connection. What was signed is final by then, and all else was only read.
func (p ownPeer) close() { _ = p.Close() }

// printCommitted says what was done and where it stands; more follows for people.
func (a *app) printCommitted(r committed, more func(io.Writer), format string, args ...any) error {
	return a.emit(r, func(w io.Writer) {
		fmt.Fprintln(w, sanitize(fmt.Sprintf(format, args...)))
		fmt.Fprintf(w, "transaction %s in block %d, signed by %s\n", sanitize(r.TxID), r.Block, sanitize(r.By))
		if more != nil {
			fmt.Fprintln(w)
			more(w)
		}
	})
}

// extraArgs are the arguments of a transaction after the image and the stage, found out
// from the signer's own peer.
type extraArgs func(ctx context.Context, p ownPeer, ref provenance.Reference) ([]string, error)

// fixedArgs are arguments that were typed: no peer is asked for them.
func fixedArgs(args ...*string) extraArgs {
	return func(context.Context, ownPeer, provenance.Reference) ([]string, error) {
		out := make([]string, len(args))
		for i, a := range args {
			out[i] = *a
		}
		return out, nil
	}
}

// decide signs a decision on an image and a stage and exits by the verdict that
// follows from it, as everything does that prints one: 0 means released. The
// image is the digest that was typed, or what the tag names to the signer's own peer.
func (a *app) decide(ctx context.Context, done, fn, image, stage string, more extraArgs) error {
	p, err := a.signerPeer()
	if err != nil {
		return err
	}
	defer p.close()
	ref, err := p.image(ctx, image)
	if err != nil {
		return err
	}
	rest, err := more(ctx, p, ref)
	if err != nil {
		return err
	}
	args := append([]string{string(ref.Host), string(ref.Repository), ref.Digest.String(), stage}, rest...)
	r, err := p.submit(ctx, nil, fn, args...)
	if err != nil && provenance.CodeOf(err) == provenance.Forbidden && !errors.As(err, &hinted{}) {
		return hint(err, "who can: waybill explain %s --stage %s", byDigest(ref), stage)
	}
	if err != nil {
		return p.suggestStage(ctx, err, ref, stage)
	}
	v, err := result[policy.Verdict](r)
	if err != nil {
		return err
	}
	if err := checkAnswer("transaction "+r.TxID, v, ref, stage); err != nil {
		return err
	}
	// A height counts blocks: the verdict is true once this transaction's block stands.
	v.Height = r.Block + 1
	if r.Result, err = json.Marshal(v); err != nil {
		return fmt.Errorf("encode the verdict: %w", err)
	}
	a.stageHint(v)
	err = a.printCommitted(r, func(w io.Writer) { a.writeVerdict(w, v) }, done+" %s to %s", ref, stage)
	if err != nil {
		return err
	}
	return answered(v)
}

// result reads what a transaction returned.
func result[T any](r committed) (T, error) {
	var v T
	if err := json.Unmarshal(r.Result, &v); err != nil {
		return v, fmt.Errorf("read the result of transaction %s: %w", r.TxID, err)
	}
	return v, nil
}

// suggestStage adds to the refusal of an unknown stage which one was meant, as far as
// the signer's own peer says it. Whatever goes wrong with that is not the user's trouble.
func (p ownPeer) suggestStage(ctx context.Context, err error, ref provenance.Reference, stage string) error {
	if provenance.PhaseOf(err) != provenance.Stage {
		return err
	}
	v, failed := p.verdict(ctx, ref, stage)
	if near := nearStage(v); failed == nil && near != "" {
		return hint(err, "%s", near)
	}
	return err
}
