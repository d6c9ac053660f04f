package evidence

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Every kind of document that a person can vouch for says the same, signed whole.
func TestWhole(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	subject := digest(t, "sha256:"+imageHex)
	files, err := filepath.Glob(filepath.Join("testdata", "documents", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	tried := 0
	for _, file := range files {
		document := read(t, "documents", filepath.Base(file))
		plain, err := Verify(Request{Subject: subject, Format: FormatPlain, Envelope: document, Now: now}, nil)
		if err != nil {
			continue // of a type that has to be named, or about another image
		}
		tried++
		statement, err := Whole(document, plain.Type, subject)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		result, err := Verify(wrapped(t, signer, statement), &k)
		if err != nil || result.Type != plain.Type || !result.MadeAt.Equal(plain.MadeAt) {
			t.Errorf("%s: %s, %v, made %s", file, result.Type, err, result.MadeAt)
		}
		if diff := cmp.Diff(string(plain.Facts), string(result.Facts)); diff != "" {
			t.Errorf("%s (-vouched for +signed):\n%s", file, diff)
		}
	}
	if tried < 5 {
		t.Errorf("%d documents of %d", tried, len(files))
	}
	custom := []byte(`{"document":{"sha256":"x"},"facts":{"a":1}}`)
	statement, err := Whole(custom, "custom/own", subject)
	if err != nil {
		t.Fatal(err)
	}
	result := accepted(t, wrapped(t, signer, statement), &k)
	if wrong := (struct{ Document json.RawMessage }{}); json.Unmarshal(result.Facts, &wrong) != nil || len(wrong.Document) == 0 || result.Document != hash(custom) {
		t.Errorf("a document that looks like a statement of ours: %s, %s", result.Facts, result.Document)
	}
	for name, bad := range map[string]error{
		"no subject":    second(Whole(read(t, "documents", filepath.Base(files[0])), "", provenance.Digest{})),
		"no JSON":       second(Whole([]byte("x"), TypeSBOM, subject)),
		"another image": second(Whole(inToto(t, "https://example.com/meta/v1", m{}, m{"sha256": otherHex}), "", subject)),
		"a signature":   second(Whole([]byte("{}"), TypeSignature, subject)),
	} {
		if provenance.CodeOf(bad) != provenance.Invalid {
			t.Errorf("%s: %v", name, bad)
		}
	}
}

func second(_ []byte, err error) error { return err }
