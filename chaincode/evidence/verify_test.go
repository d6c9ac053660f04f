package evidence

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

var (
	image    = provenance.SHA256Of([]byte("the manifest"))
	imageHex = image.String()[len("sha256:"):]
	otherHex = provenance.SHA256Of([]byte("another manifest")).String()[len("sha256:"):]
)

// refused runs one variant twice: it is refused as Invalid, says the same both
// times, and the reason holds want.
func refused(t *testing.T, r Request, k *Key, want string) {
	t.Helper()
	got, err := Verify(r, k)
	if provenance.CodeOf(err) != provenance.Invalid {
		t.Fatalf("not refused: %v, %+v", err, got)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("refused with %q, want %q in it", err, want)
	}
	if _, again := Verify(r, k); again == nil || again.Error() != err.Error() {
		t.Errorf("second time: %v", again)
	}
	if diff := cmp.Diff(Result{}, got); diff != "" {
		t.Errorf("a refusal returns facts: %s", diff)
	}
}

func accepted(t *testing.T, r Request, k *Key) Result {
	t.Helper()
	got, err := Verify(r, k)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func request(format Format, envelope []byte) Request {
	return Request{Subject: image, Format: format, Envelope: envelope, Now: now}
}

func keys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"P-256": newECDSA(t), "P-384": p384, "Ed25519": ed, "RSA": r}
}

func TestCosign(t *testing.T) {
	for name, signer := range keys(t) {
		k := publicKey(t, signer)
		good := cosignEnvelope(t, signer, simplePayload(image.String()))
		result := accepted(t, request(FormatCosign, toJSON(t, good)), &k)
		want := `{"annotations":{"build":"42"},"dockerReference":"reg.example/team/app","payloadType":"application/vnd.dev.cosign.simplesigning.v1+json"}`
		if result.Type != TypeSignature || string(result.Facts) != want {
			t.Errorf("%s: %s %s", name, result.Type, result.Facts)
		}
	}
	signer := newECDSA(t)
	k := publicKey(t, signer)
	payload := simplePayload(image.String())
	good := cosignEnvelope(t, signer, payload)
	with := func(name string, v any) m {
		out := m{}
		for n, old := range good {
			out[n] = old
		}
		out[name] = v
		return out
	}
	flipped := bytes.Replace(payload, []byte(`"42"`), []byte(`"43"`), 1)
	notJSON := []byte("critical: no")
	annotated := bytes.Replace(payload, []byte(`"build":"42"`), []byte(manyAnnotations()), 1)
	for name, c := range map[string]struct {
		envelope m
		want     string
	}{
		"other digest":        {cosignEnvelope(t, signer, simplePayload("sha256:"+otherHex)), "is about sha256:"},
		"flipped byte":        {with("payload", b64(flipped)), "not by"},
		"flipped signature":   {with("signature", b64(append([]byte{0x30, 1}, sign(t, signer, payload)[2:]...))), "not by"},
		"other key":           {cosignEnvelope(t, newECDSA(t), payload), "not by"},
		"no signature":        {with("signature", ""), "signature: want standard padded base64"},
		"signature of kind":   {with("signature", 7), "signature: want"},
		"base64 url":          {with("payload", base64.URLEncoding.EncodeToString(append(payload, "\xff\xff>>>???"...))), "payload: want standard"},
		"base64 unpadded":     {with("signature", strings.TrimRight(good["signature"].(string), "=")+"A"), "signature"},
		"base64 lines":        {with("payload", good["payload"].(string)[:8]+"\n"+good["payload"].(string)[8:]), "payload: want"},
		"payload not JSON":    {cosignEnvelope(t, signer, notJSON), "cosign payload"},
		"duplicate in it":     {cosignEnvelope(t, signer, bytes.Replace(payload, []byte(`"type"`), []byte(`"Image":{},"type"`), 1)), "again"},
		"wrong type":          {cosignEnvelope(t, signer, bytes.Replace(payload, []byte("cosign container"), []byte("atomic container"), 1)), "critical.type"},
		"sha512 of it":        {cosignEnvelope(t, signer, simplePayload("sha512:"+imageHex+imageHex)), "is about"},
		"upper case digest":   {cosignEnvelope(t, signer, simplePayload("sha256:"+strings.ToUpper(imageHex))), "docker-manifest-digest"},
		"no digest":           {cosignEnvelope(t, signer, simplePayload("")), "docker-manifest-digest"},
		"unknown member":      {with("bundles", "x"), "members are"},
		"certificate no PEM":  {with("certificate", "x"), "PEM"},
		"too many annotation": {cosignEnvelope(t, signer, annotated), "17 annotations"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, request(FormatCosign, toJSON(t, c.envelope)), &k, c.want) })
	}
	// The specification prints the name with a capital.
	spec := bytes.Replace(payload, []byte("docker-manifest"), []byte("Docker-manifest"), 1)
	accepted(t, request(FormatCosign, toJSON(t, cosignEnvelope(t, signer, spec))), &k)
}

func manyAnnotations() string {
	out := `"a":"1"`
	for i := range maxAnnotations {
		out += `,"b` + string(rune('a'+i)) + `":"1"`
	}
	return out
}

// TestTwin states the rule for ECDSA's malleability: the twin verifies, is
// another piece of evidence by name, and is the same signer's.
func TestTwin(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	envelope := cosignEnvelope(t, signer, simplePayload(image.String()))
	sig, err := base64.StdEncoding.DecodeString(envelope["signature"].(string))
	if err != nil {
		t.Fatal(err)
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		t.Fatal(err)
	}
	rs.S.Sub(elliptic.P256().Params().N, rs.S)
	twin, err := asn1.Marshal(rs)
	if err != nil {
		t.Fatal(err)
	}
	first := toJSON(t, envelope)
	envelope["signature"] = b64(twin)
	second := toJSON(t, envelope)
	a, b := accepted(t, request(FormatCosign, first), &k), accepted(t, request(FormatCosign, second), &k)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
	if ID(FormatCosign, first) == ID(FormatCosign, second) {
		t.Error("one name for two envelopes")
	}
	if ID(FormatCosign, first) == ID(FormatPlain, first) {
		t.Error("one name for two formats")
	}
}

func TestDSSE(t *testing.T) {
	signer, second := newECDSA(t), newECDSA(t)
	k := publicKey(t, signer)
	const meta = "https://example.com/build-meta/v1"
	subject := m{"sha256": imageHex}
	payload := inToto(t, meta, m{"tier": 2}, subject)
	good := dsseEnvelope(t, payload, signer)
	result := accepted(t, request(FormatDSSE, toJSON(t, good)), &k)
	if result.Type != "custom/example-com-build-meta-v1" || string(result.Facts) != `{"tier":2}` || result.PredicateType != meta {
		t.Errorf("%+v", result)
	}
	// Two signers: each finds its own.
	both := toJSON(t, dsseEnvelope(t, payload, second, signer))
	accepted(t, request(FormatDSSE, both), &k)
	otherKey := publicKey(t, second)
	accepted(t, request(FormatDSSE, both), &otherKey)
	// Several subjects, the image among them.
	accepted(t, request(FormatDSSE, toJSON(t, dsseEnvelope(t, inToto(t, meta, m{}, m{"sha256": otherHex}, subject), signer))), &k)

	about := func(subjects ...m) m { return dsseEnvelope(t, inToto(t, meta, m{}, subjects...), signer) }
	predicate := func(v any) m { return dsseEnvelope(t, inToto(t, meta, v, subject), signer) }
	var many []m
	for range MaxSubjects + 1 {
		many = append(many, subject)
	}
	change := func(name string, v any) m {
		out := m{}
		for n, old := range good {
			out[n] = old
		}
		out[name] = v
		return out
	}
	tenThousand := []any{}
	for range 10_000 {
		tenThousand = append(tenThousand, m{"sig": "AA=="})
	}
	raw := base64.StdEncoding.EncodeToString
	for name, c := range map[string]struct {
		envelope m
		want     string
	}{
		"other digest":            {about(m{"sha256": otherHex}), "is about sha256:"},
		"other key":               {dsseEnvelope(t, payload, second), "not by"},
		"flipped payload":         {change("payload", raw(bytes.Replace(payload, []byte("2"), []byte("3"), 1))), "not by"},
		"no signatures":           {change("signatures", []any{}), "0 signatures"},
		"signatures missing":      {change("signatures", nil), "0 signatures"},
		"10000 signatures":        {change("signatures", tenThousand), ""},
		"9 signatures":            {change("signatures", tenThousand[:9]), "9 signatures"},
		"payloadType":             {change("payloadType", "application/json"), "payloadType"},
		"payloadType by case":     {change("payloadType", "application/vnd.in-toto+JSON"), "payloadType"},
		"payload no base64":       {change("payload", "-_+/"), "payload: want base64"},
		"signature no base64":     {change("signatures", []any{m{"sig": "-_+/"}}), "signature 0"},
		"payload not JSON":        {dsseEnvelope(t, []byte("yaml: true"), signer), "dsse payload"},
		"payload two documents":   {dsseEnvelope(t, append(append([]byte{}, payload...), payload...), signer), "data after"},
		"signed without PAE":      {change("signatures", []any{m{"sig": raw(sign(t, signer, payload))}}), "not by"},
		"no subject":              {about(), "0 subjects"},
		"65 subjects":             {about(many...), "65 subjects"},
		"md5 only":                {about(m{"md5": strings.Repeat("0", 32)}), "neither sha256 nor sha512"},
		"md5 only beside it":      {about(subject, m{"md5": strings.Repeat("0", 32)}), "subject 1 is named by neither"},
		"md5 and sha256":          {about(m{"md5": strings.Repeat("0", 32), "sha256": imageHex}), "cannot be compared"},
		"sha256 and other sha512": {about(m{"sha256": imageHex, "sha512": imageHex + otherHex}), "cannot be compared"},
		"contradicting subjects":  {about(m{"sha256": otherHex, "sha512": imageHex + imageHex}, subject, m{"sha256": otherHex, "sha512": otherHex + otherHex}), "by different digests"},
		"alias of sha256":         {about(m{"SHA-256": imageHex}), "sha256: or sha512:"},
		"alias beside sha256":     {about(m{"sha256": imageHex, "SHA-256": otherHex}), "sha256: or sha512:"},
		"upper case hex":          {about(m{"sha256": strings.ToUpper(imageHex)}), "lower-case"},
		"63 digits":               {about(m{"sha256": imageHex[1:]}), "64 lower-case"},
		"path as digest":          {about(m{"sha256": "../../" + imageHex[6:]}), "lower-case"},
		"digest no text":          {about(m{"sha256": 7}), "no text"},
		"no digest":               {about(m{}), "1 to 8 digests"},
		"float facts":             {predicate(m{"score": json.Number("7.5")}), "facts.score"},
		"null fact":               {predicate(m{"score": nil}), "null"},
		"predicate no object":     {predicate([]any{1}), "predicate is no object"},
		"facts too large":         {predicate(m{"text": strings.Repeat("x", MaxFacts)}), "facts of"},
		"statement of v2":         {dsseEnvelope(t, bytes.Replace(payload, []byte("Statement/v1"), []byte("Statement/v2"), 1), signer), "_type"},
		"no predicateType":        {dsseEnvelope(t, inToto(t, "", m{}, subject), signer), "predicateType"},
		"forged signature type":   {dsseEnvelope(t, inToto(t, ownPredicate+"signature/v1", m{"document": m{"sha256": otherHex}, "facts": m{}}, subject), signer), "cannot be stated"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, request(FormatDSSE, toJSON(t, c.envelope)), &k, c.want) })
	}
	r := request(FormatDSSE, toJSON(t, good))
	r.Type = "custom/other"
	refused(t, r, &k, "signed as custom/example-com-build-meta-v1")
}

func TestBundle(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	payload := inToto(t, cosignSignPredicate, m{}, m{"sha256": imageHex})
	hint := m{"publicKey": m{"hint": "x"}}
	envelope := m{"dsseEnvelope": dsseEnvelope(t, payload, signer)}
	result := accepted(t, request(FormatBundle, toJSON(t, bundle(hint, envelope))), &k)
	if result.Type != TypeSignature || result.PredicateType != cosignSignPredicate {
		t.Errorf("%+v", result)
	}
	sum := mustHex(t, imageHex)
	message := func(alg string, digest []byte, signed string) m {
		return m{"messageSignature": m{
			"messageDigest": m{"algorithm": alg, "digest": b64(digest)}, "signature": b64(sign(t, signer, []byte(signed))),
		}}
	}
	good := bundle(hint, message("SHA2_256", sum, "the manifest"))
	if result = accepted(t, request(FormatBundle, toJSON(t, good)), &k); result.Document != imageHex {
		t.Errorf("%+v", result)
	}
	old := bundle(hint, envelope)
	old["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1"
	accepted(t, request(FormatBundle, toJSON(t, old)), &k)
	old["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.4+json"
	for name, c := range map[string]struct {
		envelope m
		want     string
	}{
		"later bundle":       {old, "mediaType"},
		"two signatures":     {bundle(hint, m{"dsseEnvelope": dsseEnvelope(t, payload, signer, signer)}), "2 signatures"},
		"no content":         {bundle(hint, nil), "either"},
		"two contents":       {bundle(hint, m{"dsseEnvelope": envelope["dsseEnvelope"], "messageSignature": m{}}), "either"},
		"no material":        {bundle(nil, envelope), "want one of"},
		"two materials":      {bundle(m{"publicKey": m{}, "certificate": m{"rawBytes": "AA=="}}, envelope), "want one of"},
		"bad certificate":    {bundle(m{"certificate": m{"rawBytes": "AA=="}}, envelope), "certificate"},
		"message of other":   {bundle(hint, message("SHA2_256", mustHex(t, otherHex), "another manifest")), "the message signed is"},
		"signed other":       {bundle(hint, message("SHA2_256", sum, "another manifest")), "not by"},
		"algorithm unknown":  {bundle(hint, message("SHA2_384", sum, "the manifest")), "the message signed is"},
		"no message digest":  {bundle(hint, m{"messageSignature": m{"messageDigest": m{}, "signature": "AA=="}}), "message digest"},
		"other DSSE subject": {bundle(hint, m{"dsseEnvelope": dsseEnvelope(t, inToto(t, cosignSignPredicate, m{}, m{"sha256": otherHex}), signer)}), "is about"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, request(FormatBundle, toJSON(t, c.envelope)), &k, c.want) })
	}
	// An image named by sha512, signed in Ed25519's prehashed form.
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long := mustHex(t, strings.Repeat(imageHex, 2))
	sig, err := ed.Sign(rand.Reader, long, crypto.SHA512)
	if err != nil {
		t.Fatal(err)
	}
	edKey := publicKey(t, ed)
	r := request(FormatBundle, toJSON(t, bundle(hint, m{"messageSignature": m{
		"messageDigest": m{"algorithm": "SHA2_512", "digest": b64(long)}, "signature": b64(sig),
	}})))
	r.Subject = digest(t, "sha512:"+strings.Repeat(imageHex, 2))
	accepted(t, r, &edKey)
}

func TestRequest(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	envelope := toJSON(t, cosignEnvelope(t, signer, simplePayload(image.String())))
	early, late := k, k
	early.NotBefore, late.NotAfter = now.Add(time.Second), now.Add(-time.Second)
	edge := k
	edge.NotBefore, edge.NotAfter = now, now
	accepted(t, request(FormatCosign, envelope), &edge)
	damaged := k
	damaged.PEM = "-----BEGIN PUBLIC KEY-----\n"
	for name, c := range map[string]struct {
		change func(*Request)
		key    *Key
		want   string
	}{
		"no key":         {nil, nil, "needs a registered key"},
		"key too early":  {nil, &early, "is valid from"},
		"key too late":   {nil, &late, "was valid until"},
		"damaged key":    {nil, &damaged, "PEM"},
		"no subject":     {func(r *Request) { r.Subject = provenance.Digest{} }, &k, "no subject"},
		"unknown format": {func(r *Request) { r.Format = "gpg" }, &k, "unknown"},
		"COSE":           {func(r *Request) { r.Format = FormatNotation; r.Envelope = []byte{0xd2, 0x84} }, &k, "notation envelope"},
		"other format":   {func(r *Request) { r.Format = FormatDSSE }, &k, "payloadType"},
		"other type":     {func(r *Request) { r.Type = TypeSBOM }, &k, "signed as signature, not sbom"},
		"unknown type":   {func(r *Request) { r.Type = "Signature" }, &k, "want one of"},
		"empty":          {func(r *Request) { r.Envelope = nil }, &k, "envelope of 0 bytes"},
		"too large":      {func(r *Request) { r.Envelope = make([]byte, MaxEnvelope+1) }, &k, "envelope of 65537"},
		"plain with key": {func(r *Request) { r.Format = FormatPlain }, &k, "signed by no key"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(FormatCosign, envelope)
			if c.change != nil {
				c.change(&r)
			}
			refused(t, r, c.key, c.want)
		})
	}
}
