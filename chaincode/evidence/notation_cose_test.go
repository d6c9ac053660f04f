package evidence

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/veraison/go-cose"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// epoch is how tools write times.
func epoch(t time.Time) cbor.Tag { return cbor.Tag{Number: 1, Content: t.Unix()} }

// notationCOSE makes an envelope, of which change may set anything before it is signed.
func notationCOSE(t testing.TB, k crypto.Signer, digest string, change func(*cose.Sign1Message), chain ...*x509.Certificate) []byte {
	t.Helper()
	alg, _ := coseAlgorithm(k.Public())
	msg := cose.NewSign1Message()
	msg.Headers.Protected = cose.ProtectedHeader{
		cose.HeaderLabelAlgorithm: alg, cose.HeaderLabelContentType: notationPayload, cose.HeaderLabelCritical: []any{notationScheme},
		notationScheme: schemeX509, notationTime: epoch(now.Add(-time.Hour)),
	}
	msg.Payload = toJSON(t, m{"targetArtifact": m{"digest": digest, "size": 865, "annotations": m{"build": "42"}}})
	var ders []any
	for _, c := range chain {
		ders = append(ders, c.Raw)
	}
	msg.Headers.Unprotected = cose.UnprotectedHeader{cose.HeaderLabelX5Chain: ders, "io.cncf.notary.signingAgent": "test"}
	if change != nil {
		change(msg)
	}
	signer, err := cose.NewSigner(alg, k)
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.Sign(rand.Reader, nil, signer); err != nil {
		t.Fatal(err)
	}
	b, err := msg.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func authority(protected cose.ProtectedHeader, at any) {
	delete(protected, notationTime)
	protected[notationScheme], protected[notationAuthentic] = schemeAuthority, at
	protected[cose.HeaderLabelCritical] = []any{notationScheme, notationAuthentic}
}

// TestNotationCore verifies what notation-core-go v1.3.0 signed, by each kind of
// trust that may and that may not.
func TestNotationCore(t *testing.T) {
	subject := digest(t, string(read(t, "notation-core", "subject")))
	root := string(read(t, "notation-core", "root.pem"))
	keys := map[KeyKind]Key{}
	for _, kind := range []KeyKind{CertificateRoot, SigningAuthority} {
		k, err := ParseKey("release", string(kind), root)
		if err != nil {
			t.Fatal(err)
		}
		keys[kind] = k
	}
	for file, kind := range map[string]KeyKind{
		"p384.cose": CertificateRoot, "rsa3072.cose": CertificateRoot, "authority.cose": SigningAuthority, "authority.json": SigningAuthority,
	} {
		t.Run(file, func(t *testing.T) {
			r := Request{Subject: subject, Format: FormatNotation, Envelope: read(t, "notation-core", file), Now: now}
			for other, k := range keys {
				got, err := Verify(r, &k)
				if (err == nil) != (other == kind) {
					t.Fatalf("by a %s: %v", other, err)
				}
				if err != nil {
					continue
				}
				golden(t, "testdata/notation-core/"+file+".golden", got)
				if hint := KeyHint(r.Format, r.Envelope); hint != k.Fingerprint() {
					t.Errorf("the hint is %q, the key %q", hint, k.Fingerprint())
				}
				// The same signature about another image, and bytes around it.
				elsewhere := r
				elsewhere.Subject = provenance.SHA256Of(nil)
				refused(t, elsewhere, &k, "is about")
				elsewhere = r
				elsewhere.Envelope = append(append([]byte{}, r.Envelope...), 0)
				if _, err := Verify(elsewhere, &k); err == nil {
					t.Error("accepted with a byte after it")
				}
			}
		})
	}
}

func TestNotationCOSE(t *testing.T) {
	root := newCA(t, "root", nil)
	k := root.root(t)
	sa, err := ParseKey("signer", string(SigningAuthority), root.pem)
	if err != nil {
		t.Fatal(err)
	}
	signer := newECDSA(t)
	leaf := root.leaf(t, signer.Public(), template{change: func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "Release"} }})
	pub, other := publicKey(t, signer), publicKey(t, newECDSA(t))
	made := func(change func(*cose.Sign1Message)) Request {
		return request(FormatNotation, notationCOSE(t, signer, image.String(), change, leaf, root.cert))
	}
	got := accepted(t, made(nil), &k)
	want := Result{
		Type: TypeSignature, Identity: "x509.subject:CN=Release", MadeAt: now.Add(-time.Hour), Document: got.Document, Signature: got.Signature,
		Facts: []byte(`{"annotations":{"build":"42"},"dockerReference":"","payloadType":"` + notationPayload + `"}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	accepted(t, made(nil), &pub)
	refused(t, made(nil), &other, "not by")
	refused(t, made(nil), &sa, "none made the signature")
	late := made(nil)
	late.Now = now.Add(time.Hour)
	refused(t, late, &k, "expired")

	protect := func(label, v any) func(*cose.Sign1Message) {
		return func(msg *cose.Sign1Message) { msg.Headers.Protected[label] = v }
	}
	expiring := func(v any) func(*cose.Sign1Message) {
		return func(msg *cose.Sign1Message) {
			msg.Headers.Protected[notationExpiry] = v
			msg.Headers.Protected[cose.HeaderLabelCritical] = []any{notationScheme, notationExpiry}
		}
	}
	accepted(t, made(expiring(epoch(now))), &k)
	for name, c := range map[string]struct {
		change func(*cose.Sign1Message)
		want   string
	}{
		"content type":    {protect(cose.HeaderLabelContentType, "application/json"), "cty"},
		"scheme":          {protect(notationScheme, "notary.x509.other"), "signing scheme"},
		"scheme as bytes": {protect(notationScheme, []byte(schemeX509)), "signing scheme"},
		"not critical":    {protect(cose.HeaderLabelCritical, []any{notationTime}), "unknown here"},
		"unknown critical": {func(m *cose.Sign1Message) {
			expiring("x")(m)
			m.Headers.Protected["a"] = 1
			m.Headers.Protected[cose.HeaderLabelCritical] = []any{notationScheme, "a"}
		}, "unknown here"},
		"critical number": {func(m *cose.Sign1Message) {
			m.Headers.Protected[int64(99)] = 1
			m.Headers.Protected[cose.HeaderLabelCritical] = []any{notationScheme, int64(99)}
		}, "unknown here"},
		"expired":          {expiring(epoch(now.Add(-time.Second))), "expired"},
		"expiry as text":   {expiring(cbor.Tag{Number: 0, Content: "2027-01-01T00:00:00Z"}), "expired"},
		"expiry untagged":  {expiring(now.Add(time.Hour).Unix()), "expired"},
		"expiry in floats": {expiring(cbor.Tag{Number: 1, Content: float64(now.Add(time.Hour).Unix())}), "expired"},
		"expiry negative":  {expiring(cbor.Tag{Number: 1, Content: int64(-1)}), "expired"},
		"expiry far":       {expiring(cbor.Tag{Number: 1, Content: int64(253402300800)}), "expired"},
		"no chain":         {func(m *cose.Sign1Message) { delete(m.Headers.Unprotected, cose.HeaderLabelX5Chain) }, "0 certificates"},
		"chain of texts":   {func(m *cose.Sign1Message) { m.Headers.Unprotected[cose.HeaderLabelX5Chain] = []any{"a"} }, "certificate"},
		"another's payload": {func(m *cose.Sign1Message) {
			m.Payload = []byte(`{"targetArtifact":{"digest":"sha256:` + otherHex + `"}}`)
		}, "is about"},
		"payload twice": {func(m *cose.Sign1Message) {
			m.Payload = []byte(`{"targetArtifact":{"digest":"` + image.String() + `","digest":"x"}}`)
		}, "again"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, made(c.change), &k, c.want) })
	}

	// What is changed after it was signed.
	whole := notationCOSE(t, signer, image.String(), nil, leaf, root.cert)
	for i := 1; i < len(whole); i++ {
		bent := append([]byte{}, whole...)
		bent[i] ^= 1
		if got, err := Verify(request(FormatNotation, bent), &pub); err == nil && got.Document != want.Document {
			t.Fatalf("byte %d: %+v", i, got)
		}
	}
	var untagged cbor.RawTag
	if err := untagged.UnmarshalCBOR(whole); err != nil {
		t.Fatal(err)
	}
	refused(t, request(FormatNotation, untagged.Content), &pub, "json")
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, known := coseAlgorithm(edwards.Public()); known {
		t.Error("Ed25519 signs no Notary Project envelope")
	}
}

// TestSigningAuthority: roots of persons' certificates and of signing authorities do
// not stand in for each other, in either form of the envelope.
func TestSigningAuthority(t *testing.T) {
	root := newCA(t, "root", nil)
	plain := root.root(t)
	sa, err := ParseKey("signer", string(SigningAuthority), root.pem)
	if err != nil {
		t.Fatal(err)
	}
	signer := newECDSA(t)
	pub := publicKey(t, signer)
	old := now.AddDate(0, -3, 0)
	leaf := root.leaf(t, signer.Public(), template{notBefore: old.Add(-time.Hour), notAfter: old.Add(time.Hour), change: func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "Release"} }})
	forms := map[string]func(at time.Time) []byte{
		"COSE": func(at time.Time) []byte {
			return notationCOSE(t, signer, image.String(), func(msg *cose.Sign1Message) { authority(msg.Headers.Protected, epoch(at)) }, leaf, root.cert)
		},
		"JWS": func(at time.Time) []byte {
			return toJSON(t, notation(t, signer, image.String(), m{
				notationScheme: schemeAuthority, notationAuthentic: at.Format(time.RFC3339), "crit": []any{notationScheme, notationAuthentic},
			}, leaf, root.cert))
		},
	}
	for form, made := range forms {
		t.Run(form, func(t *testing.T) {
			got := accepted(t, request(FormatNotation, made(old)), &sa)
			if !got.MadeAt.Equal(old) || got.Identity != "x509.subject:CN=Release" {
				t.Errorf("%+v", got)
			}
			refused(t, request(FormatNotation, made(old)), &plain, "registered as a certificate-root")
			refused(t, request(FormatNotation, made(old)), &pub, "registered as a public-key")
			refused(t, request(FormatNotation, made(now)), &sa, "expired")
			refused(t, request(FormatNotation, made(old.AddDate(0, 0, -1))), &sa, "certificate chain")
			refused(t, request(FormatNotation, made(now.Add(authorityAhead+time.Second))), &sa, "to come")
			withdrawn := sa
			withdrawn.NotAfter = now.Add(-time.Second)
			refused(t, request(FormatNotation, made(old)), &withdrawn, "was valid until")
		})
	}
	// The time must be there, critical, and one that can be read.
	for name, change := range map[string]func(cose.ProtectedHeader){
		"no time": func(h cose.ProtectedHeader) {
			authority(h, epoch(old))
			delete(h, notationAuthentic)
			h[cose.HeaderLabelCritical] = []any{notationScheme}
		},
		"not critical": func(h cose.ProtectedHeader) {
			authority(h, epoch(old))
			h[cose.HeaderLabelCritical] = []any{notationScheme}
		},
		"in floats": func(h cose.ProtectedHeader) { authority(h, cbor.Tag{Number: 1, Content: float64(old.Unix())}) },
	} {
		e := notationCOSE(t, signer, image.String(), func(msg *cose.Sign1Message) { change(msg.Headers.Protected) }, leaf, root.cert)
		t.Run(name, func(t *testing.T) { refused(t, request(FormatNotation, e), &sa, "gives the time") })
	}
	// No signature of another format is an authority's.
	e := cosignEnvelope(t, signer, simplePayload(image.String()))
	e["certificate"] = encodePEM("CERTIFICATE", root.leaf(t, signer.Public(), template{identity: workflow}).Raw)
	accepted(t, request(FormatCosign, toJSON(t, e)), &plain)
	refused(t, request(FormatCosign, toJSON(t, e)), &sa, "none made the signature")
}

func FuzzVerifyNotationCOSE(f *testing.F) {
	seeds(f, "notation-core/*.cose")
	subject := digest(f, string(read(f, "notation-core", "subject")))
	var all []Key
	for _, kind := range []KeyKind{CertificateRoot, SigningAuthority} {
		k, err := ParseKey("release", string(kind), string(read(f, "notation-core", "root.pem")))
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, k)
	}
	f.Fuzz(func(t *testing.T, envelope []byte) {
		KeyHint(FormatNotation, envelope)
		for _, k := range all {
			r := Request{Subject: subject, Format: FormatNotation, Envelope: envelope, Now: now}
			result, err := Verify(r, &k)
			again, errAgain := Verify(r, &k)
			if diff := cmp.Diff(result, again); diff != "" || (err == nil) != (errAgain == nil) {
				t.Fatalf("twice: %v, %v\n%s", err, errAgain, diff)
			}
			switch {
			case err == nil && !strings.Contains(string(result.Facts), `"build":"42"`):
				t.Fatalf("accepted what nobody signed: %+v", result)
			case err != nil && (provenance.CodeOf(err) != provenance.Invalid || err.Error() != errAgain.Error()):
				t.Fatalf("%v, %v", err, errAgain)
			}
		}
	})
}
