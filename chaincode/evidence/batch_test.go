package evidence

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func someBatch() []Piece {
	return []Piece{
		{Host: "reg.example", Repository: "app", Digest: provenance.SHA256Of(nil).String(), Type: "sbom", Format: "dsse", MSP: "VendorMSP", Key: "release", Location: "reg.example/app", Envelope: []byte(`{}`)},
		{Private: true, Envelope: bytes.Repeat([]byte{0}, 300)},
		{},
	}
}

func TestBatchTravels(t *testing.T) {
	want := someBatch()
	b, err := EncodeBatch(want)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, p := range want {
		size += p.Size()
	}
	if size != len(b) {
		t.Errorf("%d bytes, and the pieces say %d", len(b), size)
	}
	got, err := DecodeBatch(b)
	if err != nil {
		t.Fatal(err)
	}
	want[2].Envelope = []byte{} // one that is empty is there
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := EncodeBatch(make([]Piece, MaxBatch)); err != nil {
		t.Error(err)
	}
	for name, pieces := range map[string][]Piece{"none": nil, "many": make([]Piece, MaxBatch+1), "large": {{Envelope: make([]byte, MaxBatchBytes)}}} {
		if _, err := EncodeBatch(pieces); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOutcomeErr(t *testing.T) {
	if err := (Outcome{ID: "x"}).Err(); err != nil {
		t.Error(err)
	}
	err := Outcome{Code: provenance.Forbidden, Phase: provenance.Role, Message: "100 %s"}.Err()
	if provenance.CodeOf(err) != provenance.Forbidden || provenance.PhaseOf(err) != provenance.Role || !strings.Contains(err.Error(), "100 %s") {
		t.Error(err)
	}
}

// FuzzBatch: what is read is written again as it was.
func FuzzBatch(f *testing.F) {
	b, err := EncodeBatch(someBatch())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte{0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		pieces, err := DecodeBatch(b)
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Error(err)
			}
			return
		}
		again, err := EncodeBatch(pieces)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x became %x, %v", b, again, err)
		}
	})
}
