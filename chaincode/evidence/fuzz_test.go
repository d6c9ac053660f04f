package evidence

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// seeds are the files real tools made, and documents.
func seeds(f *testing.F, pattern string) {
	files, err := filepath.Glob(filepath.Join("testdata", filepath.FromSlash(pattern)))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds like %s: %v", pattern, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// fuzzVerify: nothing panics, errors are Invalid, the answer is the same each
// time, and what is accepted is among what the tools signed: the payload's
// hash is one that was seen before.
func fuzzVerify(f *testing.F, format Format, tool string) {
	subject := digest(f, string(read(f, tool, "subject")))
	var keys []Key
	files, err := filepath.Glob(filepath.Join("testdata", tool, "*.pub"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		k, err := ParseKey("release", string(PublicKey), string(read(f, tool, filepath.Base(file))))
		if err != nil {
			f.Fatal(err)
		}
		keys = append(keys, k)
	}
	signed := map[string]bool{}
	goldens, err := filepath.Glob(filepath.Join("testdata", tool, "*.golden"))
	if err != nil || len(goldens) == 0 {
		f.Fatal(err)
	}
	for _, file := range goldens {
		var r Result
		if err := json.Unmarshal(read(f, tool, filepath.Base(file)), &r); err != nil {
			f.Fatal(err)
		}
		signed[r.Document] = true
	}
	f.Fuzz(func(t *testing.T, envelope []byte) {
		KeyHint(format, envelope)
		for _, k := range keys {
			r := Request{Subject: subject, Format: format, Envelope: envelope, Now: now}
			result, err := Verify(r, &k)
			again, errAgain := Verify(r, &k)
			if diff := cmp.Diff(result, again); diff != "" || (err == nil) != (errAgain == nil) {
				t.Fatalf("twice: %v, %v\n%s", err, errAgain, diff)
			}
			if err != nil {
				if provenance.CodeOf(err) != provenance.Invalid || err.Error() != errAgain.Error() {
					t.Fatalf("%v, %v", err, errAgain)
				}
				continue
			}
			if !signed[result.Document] {
				t.Fatalf("accepted what nobody signed: %+v", result)
			}
		}
	})
}

func FuzzVerifyCosign(f *testing.F) {
	seeds(f, "cosign/*.cosign.json")
	fuzzVerify(f, FormatCosign, "cosign")
}

func FuzzVerifyBundle(f *testing.F) {
	seeds(f, "cosign/*.bundle.json")
	fuzzVerify(f, FormatBundle, "cosign")
}

func FuzzVerifyDSSE(f *testing.F) {
	seeds(f, "cosign/*.dsse.json")
	fuzzVerify(f, FormatDSSE, "cosign")
}

func FuzzVerifyNotation(f *testing.F) {
	seeds(f, "notation/*.notation.json")
	fuzzVerify(f, FormatNotation, "notation")
}

// FuzzStatement reads signed payloads as if their signature had been right.
func FuzzStatement(f *testing.F) {
	const meta = "https://example.com/build-meta/v1"
	f.Add(inToto(f, meta, m{"tier": 2}, m{"sha256": imageHex}))
	f.Add(inToto(f, meta, m{}, m{"sha256": otherHex}, m{"sha256": imageHex, "sha512": otherHex}))
	f.Add(inToto(f, ownPredicate+"review/v1", m{"document": m{"sha256": imageHex}, "facts": m{"approved": true, "reviewers": []any{"a"}}}, m{"sha256": imageHex}))
	f.Add(inToto(f, cosignSignPredicate, m{}, m{"sha256": imageHex}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		result, err := request(FormatDSSE, payload).withFacts(statementResult(payload, image))
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Contains(payload, []byte(imageHex[:8])) && !bytes.Contains(payload, []byte(`\u`)) {
			t.Fatalf("accepted without naming the image: %s", payload)
		}
		checkResult(t, result)
	})
}

// FuzzVerifyPlain and Extract: facts are canonical and bounded.
func FuzzVerifyPlain(f *testing.F) {
	seeds(f, "documents/*.json")
	f.Fuzz(func(t *testing.T, document []byte) {
		for _, typ := range []string{"", TypeScan, TypeSBOM, "custom/x"} {
			r := request(FormatPlain, document)
			r.Type = typ
			result, err := Verify(r, nil)
			if err != nil {
				if provenance.CodeOf(err) != provenance.Invalid {
					t.Fatal(err)
				}
				continue
			}
			checkResult(t, result)
		}
	})
}

func FuzzExtract(f *testing.F) {
	seeds(f, "documents/*.json")
	f.Fuzz(func(t *testing.T, document []byte) {
		for _, typ := range Types() {
			facts, _, madeAt, err := Extract(typ, document, 1<<20)
			if err != nil {
				if provenance.CodeOf(err) != provenance.Invalid {
					t.Fatal(err)
				}
				continue
			}
			encoded, err := encodeFacts(facts)
			if err != nil || len(encoded) > MaxFacts || madeAt.Year() > 9999 {
				t.Fatalf("%v, %d bytes, %s", err, len(encoded), madeAt)
			}
			if err := ValidateSchema(json.RawMessage(factSchemas()[typ]), encoded); err != nil {
				t.Fatal(err)
			}
			// What can be extracted can be stated, and the statement read back says the same.
			statement, err := Statement(document, typ, image)
			if typ == TypeVEX && err != nil {
				continue // of another product
			}
			if bytes.Contains(document, []byte("_type")) && err != nil {
				continue // a statement about another subject
			}
			if err != nil {
				t.Fatal(err)
			}
			r := request(FormatPlain, statement)
			r.Known = func() (known []provenance.Digest, err error) { // whatever it names
				found, err := extract(document, typ, 1<<20, image)
				for _, name := range found.names.Manifests {
					known = append(known, digest(t, name))
				}
				return known, err
			}
			result, err := Verify(r, nil)
			if err != nil || (typ != TypeVEX && string(result.Facts) != string(encoded)) || result.Document != hash(document) {
				t.Fatalf("%v\n%s\n%s", err, result.Facts, encoded)
			}
		}
	})
}

func checkResult(t *testing.T, r Result) {
	t.Helper()
	if len(r.Facts) > MaxFacts || CheckType(r.Type) != nil || !hexSHA256.MatchString(r.Document) {
		t.Fatalf("%+v", r)
	}
	var facts map[string]any
	if err := json.Unmarshal(r.Facts, &facts); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseKey(f *testing.F) {
	for _, pattern := range []string{"keys/*.pub", "cosign/*.pub", "notation/*.root"} {
		seeds(f, pattern)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, kind := range []KeyKind{PublicKey, CertificateRoot} {
			k, err := ParseKey("k", string(kind), string(text))
			if err != nil {
				if provenance.CodeOf(err) != provenance.Invalid || bytes.Contains([]byte(err.Error()), []byte("PRIVATE KEY-----\n")) {
					t.Fatal(err)
				}
				continue
			}
			if len(k.Fingerprint()) != 64 {
				t.Fatalf("fingerprint %q", k.Fingerprint())
			}
		}
	})
}

func FuzzSchema(f *testing.F) {
	f.Add([]byte(loadTest), []byte(`{"passed":true,"p99":1}`))
	f.Add([]byte(`{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"}}}}`), []byte(`{"a":["x"]}`))
	f.Fuzz(func(t *testing.T, schema, facts []byte) {
		err := ValidateSchema(schema, facts)
		if err != nil && provenance.CodeOf(err) != provenance.Invalid {
			t.Fatal(err)
		}
		if err == nil && CheckSchema(schema) != nil {
			t.Fatal("valid by an invalid schema")
		}
	})
}
