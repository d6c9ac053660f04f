package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// receipt is an act as it stands on the ledger; -o json prints it.
type receipt struct {
	TxID   string          `json:"txid"`
	Block  uint64          `json:"block"`
	By     string          `json:"by"`
	Result json.RawMessage `json:"result,omitempty"`
}

// act signs one transaction that says only what was typed, with the signer's
// own key, and waits until it is in a block.
func (a *app) act(ctx context.Context, fn string, args ...string) (receipt, error) {
	p, err := a.signing()
	if err != nil {
		return receipt{}, err
	}
	defer p.close()
	return p.act(ctx, nil, fn, args...)
}

// act signs one transaction, with values that reach the peers beside it, and
// waits until it is in a block.
func (p own) act(ctx context.Context, transient map[string][]byte, fn string, args ...string) (receipt, error) {
	res, err := p.SubmitTransient(ctx, transient, fn, args...)
	if provenance.CodeOf(err) == provenance.Forbidden && strings.Contains(err.Error(), "needs one of the roles") {
		return receipt{}, hint(err, "%s signed this; see its roles with: waybill member list; an admin grants one with: waybill member grant %s ROLE --as %s/admin", p.me, p.me.name, p.me.org.Org)
	}
	if err != nil {
		return receipt{}, p.reached(err)
	}
	r := receipt{TxID: res.TxID, Block: res.Block, By: p.me.String()}
	if json.Valid(res.Payload) {
		r.Result = res.Payload
	}
	return r, nil
}

// close ends the connection. What was signed is final by then, and all else was only read.
func (p own) close() { _ = p.Close() }

// printAct says what was done and where it stands; more follows for people.
func (a *app) printAct(r receipt, more func(io.Writer), format string, args ...any) error {
	return a.emit(r, func(w io.Writer) {
		fmt.Fprintln(w, clean(fmt.Sprintf(format, args...)))
		fmt.Fprintf(w, "transaction %s in block %d, signed by %s\n", clean(r.TxID), r.Block, clean(r.By))
		if more != nil {
			fmt.Fprintln(w)
			more(w)
		}
	})
}

// words are the arguments of an act after the image and the stage, found out
// from the signer's own peer.
type words func(ctx context.Context, p own, ref provenance.Reference) ([]string, error)

// typed are words that need nobody: they were typed.
func typed(args ...*string) words {
	return func(context.Context, own, provenance.Reference) ([]string, error) {
		out := make([]string, len(args))
		for i, a := range args {
			out[i] = *a
		}
		return out, nil
	}
}

// decide signs an act on an image and a stage and exits by the verdict that
// follows from it, as everything does that prints one: 0 means released. The
// image is the digest that was typed, or what the tag names to the signer's own peer.
func (a *app) decide(ctx context.Context, said, fn, image, stage string, more words) error {
	p, err := a.signing()
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
	r, err := p.act(ctx, nil, fn, args...)
	if err != nil && provenance.CodeOf(err) == provenance.Forbidden && !errors.As(err, &hinted{}) {
		return hint(err, "who can: waybill explain %s --stage %s", byDigest(ref), stage)
	}
	if err != nil {
		return p.meant(ctx, err, ref, stage)
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
	err = a.printAct(r, func(w io.Writer) { a.writeVerdict(w, v) }, said+" %s to %s", ref, stage)
	if err != nil {
		return err
	}
	return answered(v)
}

// result reads what a transaction returned.
func result[T any](r receipt) (T, error) {
	var v T
	if err := json.Unmarshal(r.Result, &v); err != nil {
		return v, fmt.Errorf("read the result of transaction %s: %w", r.TxID, err)
	}
	return v, nil
}

// meant adds to the refusal of an unknown stage which one was meant, as far as
// the signer's own peer says it. Whatever goes wrong with that is not the user's trouble.
func (p own) meant(ctx context.Context, err error, ref provenance.Reference, stage string) error {
	if provenance.CodeOf(err) != provenance.NotFound || !strings.Contains(err.Error(), "has no stage") {
		return err
	}
	v, failed := p.judged(ctx, ref, stage)
	if near := nearStage(v); failed == nil && near != "" {
		return hint(err, "%s", near)
	}
	return err
}
