package evidence

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"
)

const (
	workflow = "https://github.com/team/app/.github/workflows/ci.yml@refs/heads/main"
	actions  = "https://token.actions.githubusercontent.com"
)

func TestCertificates(t *testing.T) {
	root := newCA(t, "root", nil)
	middle := newCA(t, "intermediate", root)
	stranger := newCA(t, "root", nil) // of the same name
	signer := newECDSA(t)
	payload := simplePayload(image.String())
	fulcio := root.root(t)

	envelope := func(from *ca, w template, chain ...*ca) []byte {
		e := cosignEnvelope(t, signer, payload)
		e["certificate"] = encodePEM("CERTIFICATE", from.leaf(t, signer.Public(), w).Raw)
		text := ""
		for _, c := range chain {
			text += c.pem
		}
		if text != "" {
			e["chain"] = text
		}
		return toJSON(t, e)
	}
	good := template{identity: workflow, issuer: actions, oldIssuer: actions}

	for name, c := range map[string]struct {
		envelope         []byte
		identity, issuer string
	}{
		"workflow":           {envelope(middle, good, middle), workflow, actions},
		"with root in chain": {envelope(middle, good, middle, root), workflow, actions},
		"new issuer only":    {envelope(root, template{identity: workflow, issuer: actions}), workflow, actions},
		"old issuer only":    {envelope(root, template{identity: workflow, oldIssuer: actions}), workflow, actions},
		"e-mail":             {envelope(root, template{identity: "dev@team.example", email: true, issuer: actions}), "dev@team.example", actions},
		"no alternative name": {envelope(root, template{change: func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: "Release", Organization: []string{"Team"}}
		}}), "x509.subject:CN=Release,O=Team", ""},
		"every attribute of the subject": {envelope(root, template{change: func(c *x509.Certificate) {
			c.Subject = pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
				{Type: []int{2, 5, 4, 10}, Value: "Team"}, {Type: []int{2, 5, 4, 3}, Value: "Somebody"}, {Type: []int{2, 5, 4, 3}, Value: "Release"},
			}}
		}}), "x509.subject:CN=Release,CN=Somebody,O=Team", ""},
		// The verdict on a near name is the rule's; what counts is that nothing is normalised away.
		"near issuer":      {envelope(root, template{identity: workflow, issuer: "https://github.com.evil"}), workflow, "https://github.com.evil"},
		"escaped identity": {envelope(root, template{identity: "https://github.com/team%2Fapp", issuer: actions}), "https://github.com/team%2Fapp", actions},
	} {
		t.Run(name, func(t *testing.T) {
			got := accepted(t, request(FormatCosign, c.envelope), &fulcio)
			if got.Identity != c.identity || got.Issuer != c.issuer {
				t.Errorf("identity %q of issuer %q, want %q of %q", got.Identity, got.Issuer, c.identity, c.issuer)
			}
		})
	}

	with := func(change func(*x509.Certificate)) []byte {
		w := good
		w.change = change
		return envelope(root, w)
	}
	expired, early := good, good
	expired.notBefore, expired.notAfter = now.Add(-time.Hour), now.Add(-time.Second)
	early.notBefore, early.notAfter = now.Add(time.Second), now.Add(time.Hour)
	noEKU, server := good, good
	noEKU.usages = []x509.ExtKeyUsage{}
	server.usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	two := good
	two.oldIssuer = "https://github.com.evil"
	weakDER, err := pemBlocks(string(read(t, "keys", "rsa1024.pub")), "PUBLIC KEY", 1)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := x509.ParsePKIXPublicKey(weakDER[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		envelope []byte
		want     string
	}{
		"expired":                {envelope(root, expired), "expired"},
		"not yet valid":          {envelope(root, early), "not yet valid"},
		"other root":             {envelope(stranger, good), "certificate chain"},
		"other root in chain":    {envelope(stranger, good, stranger), "certificate chain"},
		"intermediate missing":   {envelope(middle, good), "certificate chain"},
		"no certificate":         {toJSON(t, cosignEnvelope(t, signer, payload)), "no certificate"},
		"no code signing":        {envelope(root, noEKU), "code-signing usage"},
		"server certificate":     {envelope(root, server), "certificate chain"},
		"any usage":              {with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), "any usage"},
		"no signing usage":       {with(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), "digital signatures"},
		"an authority":           {with(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), "is an authority"},
		"two identities":         {with(func(c *x509.Certificate) { c.EmailAddresses = []string{"dev@team.example"} }), "one alternative name"},
		"host name":              {with(func(c *x509.Certificate) { c.URIs = nil; c.DNSNames = []string{"github.com"} }), "no e-mail"},
		"an address plays a URI": {envelope(root, template{identity: workflow, email: true, issuer: actions}), "not what its kind says"},
		"a URI plays an address": {envelope(root, template{identity: "dev@team.example", issuer: actions}), "not what its kind says"},
		"plays a subject":        {envelope(root, template{identity: "x509.subject:CN=Release,O=Team"}), "no e-mail"},
		"plays a subject aloud":  {envelope(root, template{identity: "X509.Subject:CN=Release,O=Team"}), "no e-mail"},
		"names nobody":           {envelope(root, template{}), "names nobody"},
		"two issuers":            {envelope(root, two), "two issuers"},
		"issuer with newline":    {envelope(root, template{identity: workflow, oldIssuer: actions + "\n"}), "malformed issuer"},
		"unknown critical": {with(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}), "certificate chain"},
		"chain of five": {envelope(root, good, root, root, root, root, root), "more than 4"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, request(FormatCosign, c.envelope), &fulcio, c.want) })
	}
	weakly := cosignEnvelope(t, signer, payload)
	weakly["certificate"] = encodePEM("CERTIFICATE", root.leaf(t, weak, good).Raw)
	refused(t, request(FormatCosign, toJSON(t, weakly)), &fulcio, "RSA of 1024 bits")
	// Valid certificate, signature by another key.
	e := cosignEnvelope(t, newECDSA(t), payload)
	e["certificate"] = encodePEM("CERTIFICATE", root.leaf(t, signer.Public(), good).Raw)
	refused(t, request(FormatCosign, toJSON(t, e)), &fulcio, "not by")
	// The same certificate in a bundle and beside a DSSE signature.
	statement := inToto(t, cosignSignPredicate, m{}, m{"sha256": imageHex})
	leaf := root.leaf(t, signer.Public(), good)
	d := dsseEnvelope(t, statement, signer)
	if got := accepted(t, request(FormatBundle, toJSON(t, bundle(m{"certificate": m{"rawBytes": b64(leaf.Raw)}}, m{"dsseEnvelope": d}))), &fulcio); got.Identity != workflow {
		t.Errorf("bundle: %+v", got)
	}
	d["signatures"].([]any)[0].(m)["cert"] = encodePEM("CERTIFICATE", leaf.Raw)
	if got := accepted(t, request(FormatDSSE, toJSON(t, d)), &fulcio); got.Identity != workflow {
		t.Errorf("dsse: %+v", got)
	}
	// A bundle signed with a key is nothing to a root.
	refused(t, request(FormatBundle, toJSON(t, bundle(m{"publicKey": m{}}, m{"dsseEnvelope": d}))), &fulcio, "no certificate")
}

func TestNotation(t *testing.T) {
	root := newCA(t, "root", nil)
	k := root.root(t)
	signer := newECDSA(t)
	subject := template{change: func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "Release"} }}
	leaf := root.leaf(t, signer.Public(), subject)
	jws := func(digest string, header m) []byte {
		return toJSON(t, notation(t, signer, digest, header, leaf, root.cert))
	}
	got := accepted(t, request(FormatNotation, jws(image.String(), nil)), &k)
	if got.Identity != "x509.subject:CN=Release" || got.MadeAt.Hour() != 11 || got.Type != TypeSignature {
		t.Errorf("%+v", got)
	}
	pub := publicKey(t, signer)
	accepted(t, request(FormatNotation, jws(image.String(), nil)), &pub)
	other := publicKey(t, newECDSA(t))
	refused(t, request(FormatNotation, jws(image.String(), nil)), &other, "not by")
	late := request(FormatNotation, jws(image.String(), nil))
	late.Now = now.Add(time.Hour)
	refused(t, late, &k, "expired")

	expiring := func(at string) m {
		return m{"crit": []any{notationScheme, notationExpiry}, notationExpiry: at}
	}
	accepted(t, request(FormatNotation, jws(image.String(), expiring("2026-11-24T12:00:00Z"))), &k)
	tampered := notation(t, signer, image.String(), nil, leaf)
	tampered["payload"] = tampered["payload"].(string)[:8] + "A" + tampered["payload"].(string)[9:]
	padded := notation(t, signer, image.String(), nil, leaf)
	padded["signature"] = padded["signature"].(string) + "=="
	for name, c := range map[string]struct {
		envelope []byte
		want     string
	}{
		"other digest":      {jws("sha256:"+otherHex, nil), "is about"},
		"digest malformed":  {jws("md5:"+otherHex, nil), "targetArtifact.digest"},
		"flipped byte":      {toJSON(t, tampered), "not by"},
		"padded":            {toJSON(t, padded), "unpadded"},
		"alg none":          {jws(image.String(), m{"alg": "none"}), "not by"},
		"alg of other size": {jws(image.String(), m{"alg": "ES384"}), "not by"},
		"content type":      {jws(image.String(), m{"cty": "application/json"}), "cty"},
		"scheme":            {jws(image.String(), m{notationScheme: "notary.x509.signingAuthority"}), "signing scheme"},
		"scheme optional":   {jws(image.String(), m{"crit": []any{}}), "not marked critical"},
		"unknown critical":  {jws(image.String(), m{"crit": []any{notationScheme, "io.cncf.notary.verificationPlugin"}}), "unknown here"},
		"expired":           {jws(image.String(), expiring("2026-11-24T11:59:59Z")), "expired"},
		"expiry no time":    {jws(image.String(), expiring("soon")), "expired"},
		"no chain":          {toJSON(t, notation(t, signer, image.String(), nil)), "0 certificates"},
		"other chain":       {toJSON(t, notation(t, newECDSA(t), image.String(), nil, leaf)), "not by"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, request(FormatNotation, c.envelope), &k, c.want) })
	}
}

func TestParseKey(t *testing.T) {
	root := newCA(t, "root", nil)
	middle := newCA(t, "intermediate", root)
	leaf := root.leaf(t, newECDSA(t).Public(), template{identity: workflow})
	for name, signer := range keys(t) {
		k := publicKey(t, signer)
		if len(k.Fingerprint()) != 64 || k.Fingerprint() != publicKey(t, signer).Fingerprint() {
			t.Errorf("%s: fingerprint %q", name, k.Fingerprint())
		}
	}
	for _, text := range []string{root.pem, middle.pem + root.pem, middle.pem} {
		k, err := ParseKey("fulcio", "certificate-root", "\n"+text+"\n")
		if err != nil {
			t.Error(err)
		}
		if len(k.Fingerprint()) != 64 {
			t.Errorf("fingerprint %q", k.Fingerprint())
		}
	}
	// A chain whose root is registered trusts the root's children only through it.
	both, err := ParseKey("fulcio", "certificate-root", middle.pem+root.pem)
	if err != nil {
		t.Fatal(err)
	}
	signer := newECDSA(t)
	e := cosignEnvelope(t, signer, simplePayload(image.String()))
	e["certificate"] = encodePEM("CERTIFICATE", middle.leaf(t, signer.Public(), template{identity: workflow}).Raw)
	accepted(t, request(FormatCosign, toJSON(t, e)), &both)
	only, err := ParseKey("fulcio", "certificate-root", middle.pem)
	if err != nil {
		t.Fatal(err)
	}
	accepted(t, request(FormatCosign, toJSON(t, e)), &only)

	good := publicPEM(t, newECDSA(t))
	for name, c := range map[string]struct{ name, kind, pem, want string }{
		"kind":           {"k", "gpg", good, "key kind"},
		"name":           {"K!", "public-key", good, "key name"},
		"empty":          {"k", "public-key", "", "empty"},
		"no PEM":         {"k", "public-key", "ssh-ed25519 AAAA", "no block"},
		"private key":    {"k", "public-key", strings.ReplaceAll(good, "PUBLIC", "PRIVATE"), "want PUBLIC KEY"},
		"certificate":    {"k", "public-key", root.pem, "want PUBLIC KEY"},
		"two keys":       {"k", "public-key", good + good, "more than 1"},
		"text around":    {"k", "public-key", "my key\n" + good, "no block"},
		"text after":     {"k", "public-key", good + "my key", "no block"},
		"damaged":        {"k", "public-key", good[:60] + "*" + good[61:], "damaged"},
		"hidden block":   {"k", "public-key", "-----BEGIN X-----\n" + good, "damaged"},
		"headers":        {"k", "public-key", strings.Replace(good, "KEY-----\n", "KEY-----\nA: b\n\n", 1), "headers"},
		"garbage DER":    {"k", "public-key", encodePEM("PUBLIC KEY", []byte("x")), "public key"},
		"too large":      {"k", "public-key", good + strings.Repeat(" ", maxPEM), "bytes"},
		"leaf as root":   {"k", "certificate-root", encodePEM("CERTIFICATE", leaf.Raw), "no authority"},
		"five":           {"k", "certificate-root", strings.Repeat(root.pem, 5), "more than 4"},
		"key as root":    {"k", "certificate-root", good, "want CERTIFICATE"},
		"garbage as one": {"k", "certificate-root", encodePEM("CERTIFICATE", []byte("x")), "certificate"},
		"P-521":          {"k", "public-key", string(read(t, "keys", "p521.pub")), "P-521"},
		"RSA 1024":       {"k", "public-key", string(read(t, "keys", "rsa1024.pub")), "1024 bits"},
		"secp256k1":      {"k", "public-key", string(read(t, "keys", "secp256k1.pub")), "public key"},
		"X25519":         {"k", "public-key", string(read(t, "keys", "x25519.pub")), "public key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKey(c.name, c.kind, c.pem)
			if err == nil || !strings.HasPrefix(err.Error(), "WB_INVALID") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
