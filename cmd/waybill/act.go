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

// act signs one transaction with the signer's own key and waits until it is in a block.
func (a *app) act(ctx context.Context, fn string, args ...string) (receipt, error) {
	return a.actWith(ctx, nil, fn, args...)
}

// actWith is act with values that reach the peers beside the transaction.
func (a *app) actWith(ctx context.Context, transient map[string][]byte, fn string, args ...string) (receipt, error) {
	door, me, err := a.sign()
	if err != nil {
		return receipt{}, err
	}
	defer func() { _ = door.Close() }() // the transaction is final by now
	res, err := door.SubmitTransient(ctx, transient, fn, args...)
	if provenance.CodeOf(err) == provenance.Forbidden && strings.Contains(err.Error(), "needs one of the roles") {
		return receipt{}, hint(err, "%s signed this; see its roles with: waybill member list; an admin grants one with: waybill member grant %s ROLE --as %s/admin", me, me.name, me.org.Org)
	}
	if provenance.CodeOf(err) == provenance.Unavailable {
		return receipt{}, fmt.Errorf("%s's peer at %s: %w", me.org.Org, me.org.PeerAddress, err)
	}
	if err != nil {
		return receipt{}, err
	}
	r := receipt{TxID: res.TxID, Block: res.Block, By: me.String()}
	if json.Valid(res.Payload) {
		r.Result = res.Payload
	}
	return r, nil
}

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

// decide signs an act on an image and a stage and exits by the verdict that
// follows from it, as everything does that prints one: 0 means released.
func (a *app) decide(ctx context.Context, said, fn, image, stage string, reason ...string) error {
	var v policy.Verdict
	if _, _, err := a.signer(); err != nil {
		return err // before a gateway is asked for anything
	}
	ref, err := a.digestOf(ctx, image)
	if err != nil {
		return err
	}
	args := append([]string{string(ref.Host), string(ref.Repository), ref.Digest.String(), stage}, reason...)
	r, err := a.act(ctx, fn, args...)
	if err != nil && provenance.CodeOf(err) == provenance.Forbidden && !errors.As(err, &hinted{}) {
		return hint(err, "who can: waybill explain %s --stage %s", byDigest(ref), stage)
	}
	if err != nil {
		return a.meant(ctx, err, ref, stage)
	}
	if err := json.Unmarshal(r.Result, &v); err != nil {
		return fmt.Errorf("read the verdict of transaction %s: %w", r.TxID, err)
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

// digestOf reads IMAGE and resolves a tag through a gateway. A digest needs none.
func (a *app) digestOf(ctx context.Context, image string) (provenance.Reference, error) {
	ref, err := parseImage(image)
	if err != nil || !ref.Digest.IsZero() {
		return ref, err
	}
	door, err := a.ask(ctx)
	if err != nil {
		return ref, err
	}
	defer func() { _ = door.Close() }() // only read from
	return a.resolve(ctx, door, ref)
}
