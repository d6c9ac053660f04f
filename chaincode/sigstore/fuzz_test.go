package sigstore

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore/sigstoretest"
)

// sample is a root and a bundle below it, as texts.
type sample struct {
	root, cert, signature, material []byte
	stamp                           []byte
	checkpoint                      string
}

const fuzzMessage = "DSSEv1 28 application/vnd.in-toto+json 2 {}"

func samples(f *testing.F) []sample {
	f.Helper()
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	var out []sample
	for _, kind := range []string{"hashedrekord 0.0.1", "dsse 0.0.1", "intoto 0.0.1", "intoto 0.0.2", "hashedrekord 0.0.2", "dsse 0.0.2"} {
		s := sigstoretest.New(f, start)
		key := sigstoretest.Key(f)
		signed := sigstoretest.Signed{
			Certificate: s.Certificate(key.Public(), start.AddDate(0, 1, 0), sigstoretest.Who{URI: "https://ci.example/a", Issuer: "https://ci.example"}),
			Message:     []byte(fuzzMessage), Payload: []byte("{}"), Signature: sigstoretest.Sign(f, key, []byte(fuzzMessage)),
		}
		name, version, _ := strings.Cut(kind, " ")
		log := s.V1
		if strings.HasSuffix(kind, "0.0.2") && name != "intoto" {
			log = s.V2
		}
		entry := log.Entry(name, version, signed.Body(f, name, version), signed.Certificate.NotBefore)
		stamp := s.Timestamp(signed.Signature, signed.Certificate.NotBefore, sigstoretest.Stamp{Embed: []*x509.Certificate{s.Stamper.Cert}})
		material := sigstoretest.JSON(f, map[string]any{
			"tlogEntries":               []any{entry},
			"timestampVerificationData": map[string]any{"rfc3161Timestamps": []any{map[string]any{"signedTimestamp": stamp}}},
		})
		out = append(out, sample{sigstoretest.JSON(f, s.Document()), signed.Certificate.Raw, signed.Signature, material, stamp, log.Checkpoint(7, make([]byte, 32))})
	}
	for _, c := range sigstoretest.Suite(f) {
		var b struct {
			VerificationMaterial json.RawMessage
			MessageSignature     struct{ Signature []byte }
		}
		if json.Unmarshal(c.Bundle, &b) == nil {
			out = append(out, sample{c.Root, nil, b.MessageSignature.Signature, b.VerificationMaterial, nil, ""})
		}
	}
	return out
}

// FuzzVerify: nothing panics, the answer is the same each time, refusals are Invalid, and
// what is accepted relies on anchors of the root within their windows.
func FuzzVerify(f *testing.F) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, s := range samples(f) {
		f.Add(s.root, s.cert, s.signature, s.material)
	}
	f.Fuzz(func(t *testing.T, root, cert, signature, material []byte) {
		r, err := ParseTrustedRoot(root)
		if err != nil {
			return
		}
		doc, ok := readObject(material, 1<<20)
		if !ok {
			return
		}
		m, err := Bundle(doc, V03)
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatal(err)
			}
			return
		}
		m.Certificate, m.Signature, m.Message, m.Payload, m.PayloadType = cert, signature, []byte(fuzzMessage), []byte("{}"), "application/vnd.in-toto+json"
		m.Verifies = func(public crypto.PublicKey) bool {
			key, ok := public.(*ecdsa.PublicKey)
			sum := sha256.Sum256([]byte(fuzzMessage))
			return !ok || ecdsa.VerifyASN1(key, sum[:], signature)
		}
		v, err := r.Verify(m, now)
		again, errAgain := r.Verify(m, now)
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || !reflect.DeepEqual(v, again) {
			t.Fatalf("twice: %v, %v", err, errAgain)
		}
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatal(err)
			}
			return
		}
		anchors := r.Anchors()
		for _, u := range v.Uses {
			i := slices.IndexFunc(anchors, func(a Anchor) bool { return a.ID == u.ID })
			if i < 0 || !anchors[i].trusted(u.At) || u.At.After(now.Add(skew)) {
				t.Fatalf("relied on %+v", u)
			}
		}
		if len(v.Times) == 0 || len(v.Uses) < 2 || v.Identity == "" {
			t.Fatalf("%+v", v)
		}
	})
}

// FuzzTrustedRoot: what is read is written in one form, which reads as itself.
func FuzzTrustedRoot(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.root)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseTrustedRoot(text)
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseTrustedRoot(r.Canonical())
		if err != nil || !bytes.Equal(again.Canonical(), r.Canonical()) || !slices.Equal(again.Anchors(), r.Anchors()) {
			t.Fatalf("%v\n%s", err, r.Canonical())
		}
	})
}

// FuzzCheckpoint: what is read is every byte of the note.
func FuzzCheckpoint(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.checkpoint)
	}
	f.Fuzz(func(t *testing.T, envelope string) {
		c, ok := readCheckpoint(envelope)
		if !ok {
			return
		}
		rest, isNote := strings.CutPrefix(envelope, string(c.text)+"\n")
		if !isNote || len(c.signatures) != strings.Count(rest, "\n") || len(c.signatures) == 0 || len(c.root) != 32 ||
			!strings.HasPrefix(string(c.text), fmt.Sprintf("%s\n%d\n", c.origin, c.size)) {
			t.Fatalf("%q read as %+v", envelope, c)
		}
	})
}

// FuzzTimestamp: whatever stands in a timestamp, its one time is the one that was signed.
func FuzzTimestamp(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.root, s.stamp, s.signature)
	}
	f.Fuzz(func(t *testing.T, root, stamp, signature []byte) {
		r, err := ParseTrustedRoot(root)
		if err != nil {
			return
		}
		u, ok := r.stamped(stamp, signature)
		again, okAgain := r.stamped(stamp, signature)
		if ok != okAgain || u != again {
			t.Fatalf("twice: %+v, %+v", u, again)
		}
		if ok && (u.At.Year() < 1970 || u.At.Location() != time.UTC || u.ID == "") {
			t.Fatalf("%+v", u)
		}
	})
}

// FuzzCertificate: a certificate's timestamps and what a log signed of it are read or not, and nothing panics.
func FuzzCertificate(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.cert)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		readSCTs(c)
		without := withoutSCTs(c.RawTBSCertificate)
		if len(without) > len(c.RawTBSCertificate) {
			t.Fatal("it grew")
		}
		_, v, err := readSigner(der)
		if err == nil && v.Identity == "" {
			t.Fatal("nobody signed")
		}
	})
}
