package evidence

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/sigstore/sigstoretest"
)

// signedAt is when the tests' certificates lived, years before now.
func signedAt() time.Time { return now.AddDate(-2, 0, 0) }

// keyless is a Sigstore, its trusted root and one signature.
type keyless struct {
	*sigstoretest.Sigstore
	root   Key
	signed sigstoretest.Signed
}

func newKeyless(t testing.TB, payload []byte, dsse bool) keyless {
	t.Helper()
	k := keyless{Sigstore: sigstoretest.New(t, signedAt().AddDate(-1, 0, 0))}
	var err error
	if k.root, err = ParseKey("own", string(TrustedRoot), string(sigstoretest.JSON(t, k.Document()))); err != nil {
		t.Fatal(err)
	}
	key := sigstoretest.Key(t)
	who := sigstoretest.Who{URI: workflow, Issuer: actions, Claims: map[int]string{12: "https://github.com/team/app"}}
	k.signed = sigstoretest.Signed{Certificate: k.Certificate(key.Public(), signedAt(), who), Message: payload}
	if dsse {
		k.signed.Payload, k.signed.Message = payload, pae(payload)
	}
	k.signed.Signature = sigstoretest.Sign(t, key, k.signed.Message)
	return k
}

func (k keyless) annotations(t testing.TB, kind string) m {
	return m{
		"certificate":      encodePEM("CERTIFICATE", k.signed.Certificate.Raw),
		"chain":            encodePEM("CERTIFICATE", k.Intermediate.Cert.Raw) + encodePEM("CERTIFICATE", k.Root.Cert.Raw),
		"bundle":           k.V1.Annotation(k.signed.Body(t, kind, "0.0.1"), signedAt()),
		"rfc3161timestamp": string(toJSON(t, m{"SignedRFC3161Timestamp": b64(k.Timestamp(k.signed.Signature, signedAt().Add(time.Second), sigstoretest.Stamp{}))})),
	}
}

func with(envelope m, more m) m {
	out := maps.Clone(envelope)
	maps.Copy(out, more)
	return out
}

// What cosign writes beside a signature proves it for ever.
func TestCosignAnnotations(t *testing.T) {
	k := newKeyless(t, simplePayload(image.String()), false)
	plain := m{"payload": b64(k.signed.Message), "signature": b64(k.signed.Signature)}
	all := k.annotations(t, "hashedrekord")
	envelope := with(plain, all)
	result := accepted(t, request(FormatCosign, toJSON(t, envelope)), &k.root)
	if result.Identity != workflow || result.Issuer != actions || result.Claims["sourceRepositoryURI"] != "https://github.com/team/app" || len(result.Uses) != 5 || result.Signature == "" {
		t.Errorf("%+v", result)
	}
	changed := func(name string, v any) m { return with(envelope, m{name: v}) }
	stranger := newKeyless(t, simplePayload(image.String()), false)
	for what, c := range map[string]struct {
		envelope m
		want     string
	}{
		"no entry":               {changed("bundle", nil), "no entry of a transparency log"},
		"no certificate":         {with(plain, m{"bundle": all["bundle"]}), "carries no certificate"},
		"a stranger's entry":     {changed("bundle", stranger.annotations(t, "hashedrekord")["bundle"]), "of another signature"},
		"a stranger's signature": {with(envelope, m{"signature": b64(stranger.signed.Signature)}), "not by its certificate"},
		"a stranger whole":       {with(m{"payload": b64(stranger.signed.Message), "signature": b64(stranger.signed.Signature)}, stranger.annotations(t, "hashedrekord")), "no entry of a transparency log"},
		"entry of another kind":  {changed("bundle", k.V1.Annotation(k.signed.Body(t, "dsse", "0.0.1"), signedAt())), "another signature, certificate or content"},
		"entry no JSON":          {changed("bundle", "{"), "annotation bundle"},
		"entry without promise":  {changed("bundle", `{"Payload":{"body":"e30=","integratedTime":1,"logIndex":1,"logID":"00"}}`), "annotation bundle"},
		"timestamp no JSON":      {changed("rfc3161timestamp", "MII"), "annotation rfc3161timestamp"},
		"chain of a stranger":    {with(envelope, m{"chain": encodePEM("CERTIFICATE", stranger.Root.Cert.Raw)}), ""},
	} {
		t.Run(what, func(t *testing.T) {
			if c.want == "" { // the chain that comes along decides nothing
				accepted(t, request(FormatCosign, toJSON(t, c.envelope)), &k.root)
				return
			}
			refused(t, request(FormatCosign, toJSON(t, c.envelope)), &k.root, c.want)
		})
	}
	// With the CA registered as a certificate root, today's rule holds: alive at the transaction.
	ca, err := ParseKey("ca", string(CertificateRoot), encodePEM("CERTIFICATE", k.Root.Cert.Raw))
	if err != nil {
		t.Fatal(err)
	}
	refused(t, request(FormatCosign, toJSON(t, envelope)), &ca, "certificate chain to")
	alive := request(FormatCosign, toJSON(t, envelope))
	alive.Now = signedAt().Add(time.Minute)
	if result := accepted(t, alive, &ca); len(result.Uses) != 0 || len(result.Claims) != 0 {
		t.Errorf("%+v", result)
	}
}

// An attestation has its certificate in the layer's annotations.
func TestAttestationAnnotations(t *testing.T) {
	payload := inToto(t, "https://example.com/build-meta/v1", m{"tier": 2}, m{"sha256": imageHex})
	k := newKeyless(t, payload, true)
	plain := m{"payloadType": inTotoPayload, "payload": b64(payload), "signatures": []any{m{"keyid": "", "sig": b64(k.signed.Signature)}}}
	for _, kind := range []string{"dsse", "intoto", "hashedrekord"} {
		envelope := with(plain, k.annotations(t, kind))
		if result := accepted(t, request(FormatDSSE, toJSON(t, envelope)), &k.root); result.Identity != workflow || string(result.Facts) != `{"tier":2}` {
			t.Errorf("%s: %+v", kind, result)
		}
	}
	refused(t, request(FormatDSSE, toJSON(t, plain)), &k.root, "carries no certificate")
	own := with(k.annotations(t, "dsse"), plain)
	delete(own, "certificate")
	own["signatures"] = []any{m{"sig": b64(k.signed.Signature), "cert": encodePEM("CERTIFICATE", k.signed.Certificate.Raw)}}
	accepted(t, request(FormatDSSE, toJSON(t, own)), &k.root)
	about := newKeyless(t, inToto(t, "https://example.com/build-meta/v1", m{}, m{"sha256": otherHex}), true)
	elsewhere := with(m{"payloadType": inTotoPayload, "payload": b64(about.signed.Payload), "signatures": []any{m{"sig": b64(about.signed.Signature)}}}, about.annotations(t, "dsse"))
	refused(t, request(FormatDSSE, toJSON(t, elsewhere)), &about.root, "is about")
}

func TestKeylessBundle(t *testing.T) {
	payload := inToto(t, cosignSignPredicate, m{}, m{"sha256": imageHex})
	k := newKeyless(t, payload, true)
	make3 := func(version string, entry m, change func(m)) []byte {
		material := m{
			"certificate": m{"rawBytes": b64(k.signed.Certificate.Raw)}, "tlogEntries": []any{entry},
			"timestampVerificationData": m{"rfc3161Timestamps": []any{m{"signedTimestamp": b64(k.Timestamp(k.signed.Signature, signedAt(), sigstoretest.Stamp{}))}}},
		}
		if change != nil {
			change(material)
		}
		return toJSON(t, m{"mediaType": version, "verificationMaterial": material, "dsseEnvelope": m{
			"payloadType": inTotoPayload, "payload": b64(payload), "signatures": []any{m{"sig": b64(k.signed.Signature)}},
		}})
	}
	entry := func(without ...string) m {
		e := k.V1.Entry("dsse", "0.0.1", k.signed.Body(t, "dsse", "0.0.1"), signedAt())
		for _, member := range without {
			delete(e, member)
		}
		return e
	}
	const older, newer = "application/vnd.dev.sigstore.bundle+json;version=", "application/vnd.dev.sigstore.bundle.v"
	chain := func(certs ...[]byte) func(m) {
		return func(material m) {
			var list []any
			for _, c := range certs {
				list = append(list, m{"rawBytes": b64(c)})
			}
			delete(material, "certificate")
			material["x509CertificateChain"] = m{"certificates": list}
		}
	}
	v2 := k.V2.Entry("hashedrekord", "0.0.2", k.signed.Body(t, "hashedrekord", "0.0.2"), signedAt())
	for what, c := range map[string]struct {
		bundle []byte
		want   string
	}{
		"v0.1":                         {make3(older+"0.1", entry("inclusionProof"), nil), ""},
		"v0.2":                         {make3(older+"0.2", entry(), nil), ""},
		"v0.3":                         {make3(newer+"0.3+json", entry(), nil), ""},
		"v0.3 of the second log":       {make3(newer+"0.3+json", v2, nil), ""},
		"v0.3 in the older spelling":   {make3(older+"0.3", entry(), nil), ""},
		"v0.2 in the newer spelling":   {make3(newer+"0.2+json", entry("inclusionPromise"), nil), ""},
		"v0.1 without promise":         {make3(older+"0.1", entry("inclusionPromise"), nil), "no inclusion promise"},
		"v0.2 without proof":           {make3(older+"0.2", entry("inclusionProof"), nil), "no inclusion proof"},
		"v0.3 without proof":           {make3(newer+"0.3+json", entry("inclusionProof"), nil), "no inclusion proof"},
		"with its intermediate":        {make3(older+"0.1", entry(), chain(k.signed.Certificate.Raw, k.Intermediate.Cert.Raw)), ""},
		"with a root":                  {make3(older+"0.1", entry(), chain(k.signed.Certificate.Raw, k.Root.Cert.Raw)), "a root of its own"},
		"with one that bears its name": {make3(older+"0.1", entry(), chain(k.signed.Certificate.Raw, namesake(t, k.Root))), ""},
		"the intermediate as a signer": {make3(older+"0.1", entry(), chain(k.Intermediate.Cert.Raw, k.signed.Certificate.Raw)), "an authority's"},
		"a public key":                 {make3(newer+"0.3+json", entry(), func(material m) { delete(material, "certificate"); material["publicKey"] = m{"hint": "x"} }), "no certificate"},
	} {
		t.Run(what, func(t *testing.T) {
			if c.want != "" {
				refused(t, request(FormatBundle, c.bundle), &k.root, c.want)
				return
			}
			if result := accepted(t, request(FormatBundle, c.bundle), &k.root); result.Type != TypeSignature || result.Identity != workflow {
				t.Errorf("%+v", result)
			}
		})
	}
	// Among other keys the root signs for itself.
	parsed, err := k.root.Parse()
	if err != nil {
		t.Fatal(err)
	}
	strange := publicKey(t, newECDSA(t))
	stranger, err := strange.Parse()
	if err != nil {
		t.Fatal(err)
	}
	all, err := Signers(request(FormatBundle, make3(newer+"0.3+json", entry(), nil)), []*ParsedKey{stranger, parsed})
	if err != nil || len(all) != 1 || all[0].Key.Kind != TrustedRoot || len(all[0].Result.Uses) == 0 {
		t.Errorf("%v, %+v", err, all)
	}
	signer := newECDSA(t)
	refused(t, request(FormatNotation, toJSON(t, notation(t, signer, image.String(), nil, k.signed.Certificate))), &k.root, "no signature of format notation")
	ended := k.root
	ended.NotAfter = now.Add(-time.Second)
	refused(t, request(FormatBundle, make3(newer+"0.3+json", entry(), nil)), &ended, "was valid until")
}

// namesake is another key's certificate by an authority, under the authority's own name.
func namesake(t *testing.T, a sigstoretest.Authority) []byte {
	t.Helper()
	return certificate(t, a.Cert, a.Cert, newECDSA(t).Public(), a.Key).Raw
}

func TestTrustedRootKey(t *testing.T) {
	k := newKeyless(t, []byte("x"), false)
	if k.root.PEM != "" || len(k.root.Fingerprint()) != 64 || !strings.HasPrefix(k.root.Root, `{"mediaType"`) {
		t.Errorf("%+v", k.root)
	}
	// What is stored is canonical, and reads as itself.
	again, err := ParseKey("own", string(TrustedRoot), k.root.Root)
	if err != nil || again != k.root {
		t.Errorf("%v, %+v", err, again)
	}
	for _, text := range []string{"", "{}", "-----BEGIN CERTIFICATE-----"} {
		if _, err := ParseKey("own", string(TrustedRoot), text); err == nil {
			t.Errorf("%q was taken for a trusted root", text)
		}
	}
}

// One odd signature does not refuse an envelope whose other one verifies.
func TestOddSignatures(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	payload := inToto(t, "https://example.com/build-meta/v1", m{"tier": 2}, m{"sha256": imageHex})
	good := m{"sig": b64(sign(t, signer, pae(payload)))}
	envelope := func(payload string, signatures ...any) Request {
		return request(FormatDSSE, toJSON(t, m{"payloadType": inTotoPayload, "payload": payload, "signatures": signatures}))
	}
	for what, odd := range map[string]any{
		"no base64": m{"sig": "%%"}, "empty": m{"sig": ""}, "missing": m{"keyid": "x"}, "a number": m{"sig": 7}, "no object": "x", "null": nil,
		"with lines": m{"sig": "AA\nAA"}, "another's": m{"sig": b64([]byte("x"))}, "certificate no PEM": m{"sig": "AAAA", "cert": "x"},
	} {
		t.Run(what, func(t *testing.T) {
			accepted(t, envelope(b64(payload), odd, good), &k)
			accepted(t, envelope(b64(payload), good, odd), &k)
			refused(t, envelope(b64(payload), odd), &k, "")
		})
	}
	// Beside a key's signature a certificate decides nothing, good or bad.
	accepted(t, envelope(b64(payload), with(good, m{"cert": "x"})), &k)
	// Both alphabets of base64, padded or not.
	url, raw := base64.URLEncoding, base64.RawURLEncoding
	sig := sign(t, signer, pae(payload))
	for _, enc := range []*base64.Encoding{url, raw, base64.RawStdEncoding} {
		accepted(t, envelope(enc.EncodeToString(payload), m{"sig": enc.EncodeToString(sig)}), &k)
	}
	refused(t, envelope(b64(payload), m{"sig": strings.NewReplacer("+", "-").Replace(b64([]byte("\xfb\xff>>>???")))}), &k, "want base64")
}

// The cases beside the repository that are about signatures.
func TestRealEnvelopes(t *testing.T) {
	dir := casesDir(t)
	if dir == "" {
		return
	}
	for file, c := range map[string]struct {
		format Format
		key    string
	}{"07-gcb-dsse-urlsafe.json": {FormatDSSE, "07-gcb-dsse-urlsafe.pub"}} {
		text, err := os.ReadFile(filepath.Join(dir, file)) //nolint:gosec // a test's own path
		if err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(filepath.Join(dir, c.key)) //nolint:gosec // a test's own path
		if err != nil {
			t.Fatal(err)
		}
		k, err := ParseKey("real", string(PublicKey), string(pem))
		if err != nil {
			t.Fatal(err)
		}
		var envelope struct{ Payload []byte }
		var said struct {
			Subject []struct{ Digest map[string]string }
		}
		if err := json.Unmarshal(text, &envelope); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(envelope.Payload, &said); err != nil {
			t.Fatal(err)
		}
		r := request(c.format, text)
		r.Subject = digest(t, "sha256:"+said.Subject[0].Digest["sha256"])
		if result := accepted(t, r, &k); result.PredicateType != "https://slsa.dev/provenance/v0.1" {
			t.Errorf("%+v", result)
		}
	}
}
