package proofs

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	waybillproof "github.com/waybill-dev/waybill/proof"
)

// recorded is what peers of a real network answered once.
type recorded struct {
	*peers
	foundation ledger.Foundation
	block      []byte
	report     waybillproof.Report
}

func (r *recorded) parsed(t *testing.T, name string) waybillproof.File {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "proof", "testdata", "network", name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := waybillproof.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// newRecorded reads a file of package proof's tests, and takes it apart into what peers would deliver.
func newRecorded(t *testing.T, name string) (*Maker, *recorded) {
	t.Helper()
	r := &recorded{peers: &peers{number: []uint64{0}}}
	f := r.parsed(t, name)
	f.Config = r.parsed(t, "config.json").Config
	hash, err := waybillproof.HeaderHash(f.Config[0])
	if err != nil {
		t.Fatal(err)
	}
	r.report = waybillproof.Verify(f.Marshal(), waybillproof.Options{Genesis: hash})
	if r.report.Result != waybillproof.Valid {
		t.Fatalf("%s", r.report.JSON())
	}
	var header common.BlockHeader
	if err := proto.Unmarshal(f.Floor.Header, &header); err != nil {
		t.Fatal(err)
	}
	floor, err := proto.Marshal(&common.Block{Header: &header, Metadata: &common.BlockMetadata{Metadata: [][]byte{f.Floor.Metadata}}})
	if err != nil {
		t.Fatal(err)
	}
	r.foundation = ledger.Foundation{Genesis: hash, Config: f.Config, Floor: floor, Number: header.GetNumber()}
	r.answer.Payload, r.block = f.Transaction, f.Block
	m := maker(r.peers, "AuditMSP", "PlatformMSP", "SecurityMSP", "VendorMSP")
	m.Chain = chainOf{r}
	return m, r
}

type chainOf struct{ *recorded }

func (c chainOf) Foundation(context.Context) (ledger.Foundation, error) { return c.foundation, nil }
func (c chainOf) BlockOf(context.Context, string) ([]byte, error)       { return c.block, nil }

func TestReceiptIsMadeAndKept(t *testing.T) {
	m, r := newRecorded(t, "receipt.json")
	v := r.report.Verdict
	ref, err := provenance.ParseReference(v.Image)
	if err != nil {
		t.Fatal(err)
	}
	r.answer.Orgs = []string{"AuditMSP", "SecurityMSP", "VendorMSP"}
	m.Now = func() time.Time { return v.AsOf.Add(time.Minute) }
	request := readmodel.ReceiptRequest{Subject: state.Subject{Stage: v.Stage, Host: ref.Host, Repository: ref.Repository, Digest: ref.Digest}, Asker: "AuditMSP"}
	got, err := m.Receipt(t.Context(), request)
	if err != nil || !got.At.Equal(v.AsOf) || got.Answer != policy.Allowed || !slices.Equal(got.Signers, r.answer.Orgs) || r.need != 3 {
		t.Fatalf("%+v, %v; %d wanted", got.Signers, err, r.need)
	}
	if again := waybillproof.Verify(got.File, waybillproof.Options{Genesis: r.foundation.Genesis, At: m.Now()}); again.Result != waybillproof.Valid {
		t.Errorf("%s", again.JSON())
	}
	// It is handed out again to whom that is enough, as long as the index says the same.
	r.err = provenance.Errorf(provenance.Unavailable, "down")
	request.MaxAge, request.Answer = 2*time.Minute, policy.Allowed
	if kept, err := m.Receipt(t.Context(), request); err != nil || string(kept.File) != string(got.File) {
		t.Errorf("%v", err)
	}
	request.Answer = policy.Quarantined
	if _, err := m.Receipt(t.Context(), request); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("of what is held since: %v", err)
	}
	// What peers signed of another stage is no answer.
	r.err, request.Subject.Stage = nil, "staging"
	if _, err := m.Receipt(t.Context(), request); provenance.CodeOf(err) != provenance.Internal || !strings.Contains(err.Error(), "does not hold") {
		t.Errorf("an answer to another question: %v", err)
	}
	r.foundation.Genesis = make([]byte, 32)
	request.Subject.Stage = v.Stage
	if _, err := m.Receipt(t.Context(), request); provenance.CodeOf(err) != provenance.Internal {
		t.Errorf("below another first block: %v", err)
	}
}
