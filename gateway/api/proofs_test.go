package api_test

import (
	"context"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// proofs notes what it was asked.
type proofs struct {
	receipts     []readmodel.ReceiptRequest
	transactions []readmodel.TransactionRequest
	err          error
}

func (p *proofs) Receipt(_ context.Context, r readmodel.ReceiptRequest) (readmodel.Proof, error) {
	p.receipts = append(p.receipts, r)
	return readmodel.Proof{File: []byte("a receipt\n"), At: time.Unix(60, 0), Signers: []string{"AuditMSP", "VendorMSP"}, Answer: policy.Pending}, p.err
}

func (p *proofs) Transaction(_ context.Context, r readmodel.TransactionRequest) (readmodel.Proof, error) {
	p.transactions = append(p.transactions, r)
	return readmodel.Proof{File: []byte("a proof\n"), Signers: []string{"AuditMSP"}}, p.err
}

func TestReceipt(t *testing.T) {
	made := &proofs{}
	g := start(t, func(c *api.Config) { c.Proofs = made })
	s := g.ledger()
	c := g.client(g.audit.issue("auditor", soon()))
	byTag := "reg.example:5000/team/app:1.0"
	res, err := c.GetReceipt(t.Context(), &waybillv1.GetReceiptRequest{Image: byTag, Stage: "production", Organizations: 2, MaxAge: 90})
	if err != nil || string(res.GetFile()) != "a receipt\n" || res.GetDigest() != s.Digest.String() || res.GetAsOf().AsTime().Unix() != 60 || len(res.GetSigners()) != 2 {
		t.Fatalf("%v, %v", res, err)
	}
	want := readmodel.ReceiptRequest{
		Subject:       state.Subject{Stage: "production", Host: "reg.example:5000", Repository: "team/app", Digest: s.Digest},
		Organisations: 2, MaxAge: 90 * time.Second, Answer: policy.Pending, Asker: "AuditMSP",
	}
	if len(made.receipts) != 1 || made.receipts[0] != want {
		t.Errorf("asked for %+v, want %+v", made.receipts, want)
	}
	got, body := g.rest(g.vendor.issue("auditor", soon()), "GET", "/v1/receipt?stage=production&image="+url.QueryEscape(byTag), "")
	if file, _ := body["file"].(string); got != 200 || file != base64.StdEncoding.EncodeToString([]byte("a receipt\n")) || made.receipts[1].Asker != "VendorMSP" {
		t.Errorf("REST: %d %v", got, body)
	}
	for what, in := range map[string]*waybillv1.GetReceiptRequest{
		"no image": {Stage: "production"}, "a digest alone": {Image: s.Digest.String(), Stage: "production"}, "no stage": {Image: byTag},
		"an age before": {Image: byTag, Stage: "production", MaxAge: -1}, "an age beyond": {Image: byTag, Stage: "production", MaxAge: 1 << 30},
		"fewer than none": {Image: byTag, Stage: "production", Organizations: -1},
	} {
		if _, err := c.GetReceipt(t.Context(), in); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(made.receipts) != 2 {
		t.Errorf("peers were asked %d times", len(made.receipts))
	}
	made.err = provenance.Errorf(provenance.Full, "enough")
	if _, err := c.GetReceipt(t.Context(), &waybillv1.GetReceiptRequest{Image: byTag, Stage: "production"}); provenance.CodeOf(err) != provenance.Full {
		t.Error(err)
	}
}

// A gateway that is behind hands out no receipt that was made before.
func TestReceiptOfAStaleGateway(t *testing.T) {
	made := &proofs{}
	g := start(t, func(c *api.Config) {
		c.Proofs = made
		c.Freshness = func() readmodel.Freshness { return readmodel.Freshness{Stale: true} }
	})
	g.ledger()
	res, err := g.client(g.audit.issue("auditor", soon())).GetReceipt(t.Context(), &waybillv1.GetReceiptRequest{Image: "reg.example:5000/team/app:1.0", Stage: "production", MaxAge: 90})
	if err != nil || !res.GetStale() || made.receipts[0].MaxAge != 0 {
		t.Errorf("%v, %v, %+v", res, err, made.receipts)
	}
}

func TestProof(t *testing.T) {
	made := &proofs{}
	g := start(t, func(c *api.Config) { c.Proofs = made })
	s := g.ledger()
	g.release(s)
	g.block("scanner@AuditMSP", g.put(state.HoldKey(s.Digest, "AuditMSP"), state.Hold{Digest: s.Digest, MSP: "AuditMSP", Reason: "CVE"}))
	c := g.client(g.audit.issue("auditor", soon()))
	image := "reg.example:5000/team/app:1.0"
	history, err := c.ListHistory(t.Context(), &waybillv1.ListHistoryRequest{Image: s.Digest.String()})
	if err != nil {
		t.Fatal(err)
	}
	newest := map[string]string{}
	for _, e := range history.GetEntries() {
		newest[e.GetKind()] = e.GetTxId()
	}
	for kind, want := range map[string]string{"": "push", "push": "push", "approval": "approval", "release": "release", "quarantine": "hold"} {
		res, err := c.GetProof(t.Context(), &waybillv1.GetProofRequest{Image: image, Kind: kind})
		if err != nil || res.GetTxId() != newest[want] || string(res.GetFile()) != "a proof\n" || res.GetDigest() != s.Digest.String() || made.transactions[len(made.transactions)-1].TxID != newest[want] {
			t.Errorf("%q: %v, %v", kind, res, err)
		}
	}
	id := strings.Repeat("ab", 32)
	if res, err := c.GetProof(t.Context(), &waybillv1.GetProofRequest{TxId: id, Organizations: 3}); err != nil || res.GetTxId() != id || made.transactions[len(made.transactions)-1] != (readmodel.TransactionRequest{TxID: id, Organisations: 3, Asker: "AuditMSP"}) {
		t.Errorf("%v, %v", res, err)
	}
	for what, in := range map[string]*waybillv1.GetProofRequest{
		"nothing": {}, "both": {Image: image, TxId: id}, "a kind of a transaction": {TxId: id, Kind: "push"}, "no id": {TxId: "zz"}, "a short id": {TxId: "abab"}, "fewer than none": {TxId: id, Organizations: -1},
	} {
		if _, err := c.GetProof(t.Context(), in); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.GetProof(t.Context(), &waybillv1.GetProofRequest{Image: image, Kind: "waiver"}); provenance.CodeOf(err) != provenance.NotFound {
		t.Error(err)
	}
}

// Without somebody who makes them there are none.
func TestNoProofs(t *testing.T) {
	g := start(t, nil)
	g.ledger()
	c := g.client(g.audit.issue("auditor", soon()))
	if _, err := c.GetProof(t.Context(), &waybillv1.GetProofRequest{TxId: strings.Repeat("ab", 32)}); provenance.CodeOf(err) != provenance.Unavailable {
		t.Error(err)
	}
	if _, err := c.GetReceipt(t.Context(), &waybillv1.GetReceiptRequest{Image: "reg.example:5000/team/app:1.0", Stage: "production"}); provenance.CodeOf(err) != provenance.Unavailable {
		t.Error(err)
	}
}
