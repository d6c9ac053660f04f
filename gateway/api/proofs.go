package api

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// Bounds of a search for the newest record of a kind: beyond them the transaction
// has to be named. Nobody but who asks about an image with a longer history
// notices.
const (
	proofPages    = 20
	proofPageSize = 500
)

// maxReceiptAge is the oldest receipt that anybody asks for, in seconds.
const maxReceiptAge = 24 * 60 * 60

var errNoProofs = provenance.Errorf(provenance.Unavailable, "this gateway makes no receipts and no proofs")

// GetReceipt implements waybillv1.WaybillServer.
func (s *service) GetReceipt(ctx context.Context, in *waybillv1.GetReceiptRequest) (*waybillv1.GetReceiptResponse, error) {
	ref, err := provenance.ParseReference(in.GetImage())
	if err != nil {
		return nil, err
	}
	stage, err := policy.ParseStageName(in.GetStage())
	switch {
	case err != nil:
		return nil, err
	case in.GetMaxAge() < 0 || in.GetMaxAge() > maxReceiptAge:
		return nil, provenance.Errorf(provenance.Invalid, "max_age: want 0 to %d seconds", maxReceiptAge)
	case in.GetOrganizations() < 0:
		return nil, provenance.Errorf(provenance.Invalid, "organizations: want a number of them")
	case s.cfg.Proofs == nil:
		return nil, errNoProofs
	}
	r := readmodel.ReceiptRequest{Organisations: int(in.GetOrganizations()), MaxAge: time.Duration(in.GetMaxAge()) * time.Second, Asker: callerOf(ctx).MSP}
	out := &waybillv1.GetReceiptResponse{Stage: stage}
	err = s.view(ctx, func(at moment, reads Reads) error {
		out.Height, out.Stale = at.height, at.stale
		if err := resolve(reads, &ref); err != nil {
			return err
		}
		r.Subject = state.Subject{Stage: stage, Host: ref.Host, Repository: ref.Repository, Digest: ref.Digest}
		if at.stale {
			r.MaxAge = 0 // what was allowed may have been forbidden since
		}
		if r.MaxAge == 0 {
			return nil
		}
		v, err := state.Ask(s.reader(reads), r.Subject, s.cfg.Now())
		r.Answer = v.Verdict
		return err
	})
	if err != nil {
		return nil, err
	}
	// Not while the view is open: peers are asked.
	p, err := s.cfg.Proofs.Receipt(ctx, r)
	if err != nil {
		return nil, err
	}
	ref.Tag = ""
	out.Image, out.Digest, out.File, out.AsOf, out.Signers = ref.String(), ref.Digest.String(), p.File, stamp(p.At), p.Signers
	return out, nil
}

// GetProof implements waybillv1.WaybillServer.
func (s *service) GetProof(ctx context.Context, in *waybillv1.GetProofRequest) (*waybillv1.GetProofResponse, error) {
	switch {
	case (in.GetImage() == "") == (in.GetTxId() == ""):
		return nil, provenance.Errorf(provenance.Invalid, "want either image or tx_id")
	case in.GetTxId() != "" && in.GetKind() != "":
		return nil, provenance.Errorf(provenance.Invalid, "kind: a transaction is one, of whatever kind")
	case in.GetOrganizations() < 0:
		return nil, provenance.Errorf(provenance.Invalid, "organizations: want a number of them")
	case s.cfg.Proofs == nil:
		return nil, errNoProofs
	}
	if sum, err := hex.DecodeString(in.GetTxId()); in.GetTxId() != "" && (err != nil || len(sum) != 32) {
		return nil, provenance.Errorf(provenance.Invalid, "tx_id: want the 64 hexadecimal digits of a transaction's id")
	}
	out := &waybillv1.GetProofResponse{TxId: in.GetTxId()}
	err := s.view(ctx, func(at moment, reads Reads) (err error) {
		out.Height, out.Stale = at.height, at.stale
		if in.GetImage() != "" {
			err = newest(reads, in, out)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := s.cfg.Proofs.Transaction(ctx, readmodel.TransactionRequest{TxID: out.GetTxId(), Organisations: int(in.GetOrganizations()), Asker: callerOf(ctx).MSP})
	if err != nil {
		return nil, err
	}
	out.File, out.Signers = p.File, p.Signers
	return out, nil
}

// newest finds the transaction of an image's newest record of a kind.
func newest(r Reads, in *waybillv1.GetProofRequest, out *waybillv1.GetProofResponse) error {
	ref, err := parseImage(in.GetImage())
	if err != nil {
		return err
	}
	if err := resolve(r, &ref); err != nil {
		return err
	}
	ref.Tag = ""
	out.Image, out.Digest = nameOf(ref), ref.Digest.String()
	kind := in.GetKind()
	switch kind {
	case "":
		kind = provenance.Push.String()
	case "quarantine":
		kind = "hold" // as the ledger calls it
	}
	filter := readmodel.HistoryFilter{Digest: ref.Digest, Host: ref.Host, Repository: ref.Repository}
	page := readmodel.Page{Size: proofPageSize, NewestFirst: true}
	for range proofPages {
		records, next, err := r.History(filter, page)
		if err != nil {
			return err
		}
		for _, one := range records {
			if one.Kind == kind {
				out.TxId = one.TxID
				return nil
			}
		}
		if next == "" {
			return withHint(provenance.Errorf(provenance.NotFound, "no %s of %s is on the ledger", kind, out.GetImage()), "see what there is: waybill history "+out.GetImage())
		}
		page.Token = next
	}
	return withHint(provenance.Errorf(provenance.NotFound, "no %s among the newest %d records of %s", kind, proofPages*proofPageSize, out.GetImage()),
		"find its transaction in the history, and name that")
}
