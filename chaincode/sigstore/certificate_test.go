package sigstore_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/sigstore/sigstoretest"
)

// alternative names a certificate by raw alternative names, critical as Fulcio's are.
func alternative(t *testing.T, names ...asn1.RawValue) func(*x509.Certificate) {
	t.Helper()
	value, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *x509.Certificate) {
		c.URIs, c.EmailAddresses = nil, nil
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: value})
	}
}

func name(tag int, text string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(text)}
}

// other is the third kind of name, as sigstore/fulcio writes it.
func other(t *testing.T, id int, text string) asn1.RawValue {
	t.Helper()
	oid, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, id})
	if err != nil {
		t.Fatal(err)
	}
	value, err := asn1.MarshalWithParams(text, "utf8,explicit,tag:0")
	if err != nil {
		t.Fatal(err)
	}
	return asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: append(oid, value...)}
}

func TestIdentities(t *testing.T) {
	const email, uri = 1, 6
	who := func(change func(*x509.Certificate)) sigstoretest.Who {
		return sigstoretest.Who{Issuer: actions, Change: change}
	}
	for what, c := range map[string]struct {
		who            sigstoretest.Who
		identity, want string // the identity, or why it is refused
	}{
		"URI":                   {github(), workflow, ""},
		"e-mail":                {sigstoretest.Who{Email: "dev@team.example", Issuer: "https://accounts.example"}, "dev@team.example", ""},
		"SPIFFE":                {sigstoretest.Who{URI: "spiffe://team.example/ci", Issuer: actions}, "spiffe://team.example/ci", ""},
		"user of a domain":      {who(alternative(t, other(t, 7, "dev!team.example"))), "dev!team.example", ""},
		"no issuer":             {sigstoretest.Who{Email: "dev@team.example"}, "dev@team.example", ""},
		"e-mail like a URI":     {who(alternative(t, name(email, "https://github.com/a@b"))), "", "not what its kind says"},
		"e-mail like a user":    {who(alternative(t, name(email, "a!b@c"))), "", "not what its kind says"},
		"e-mail without @":      {who(alternative(t, name(email, "team"))), "", "not what its kind says"},
		"user like a URI":       {who(alternative(t, other(t, 7, "https://github.com/a!b"))), "", "no user of a domain"},
		"user without domain":   {who(alternative(t, other(t, 7, "dev!"))), "", "no user of a domain"},
		"user that is unseen":   {who(alternative(t, other(t, 7, "d\u200bev!team.example"))), "", "no user of a domain"},
		"other name of another": {who(alternative(t, other(t, 6, "dev!team.example"))), "", "no e-mail address or URI"},
		"two names":             {who(alternative(t, name(uri, workflow), name(email, "dev@team.example"))), "", "one alternative name, have 2"},
		"two users":             {who(alternative(t, other(t, 7, "dev!team.example"), other(t, 7, "root!team.example"))), "", "one alternative name, have 2"},
		"DNS name":              {who(alternative(t, name(2, "team.example"))), "", "no e-mail address or URI"},
		"nobody":                {sigstoretest.Who{Issuer: actions}, "", "names nobody"},
		"name with a space":     {who(alternative(t, name(email, "dev @team.example"))), "", "no e-mail address or URI"},
		"two issuers":           {sigstoretest.Who{URI: workflow, Issuer: actions, Claims: map[int]string{1: "https://other.example"}}, "", "two issuers"},
		"no usage":              {sigstoretest.Who{URI: workflow, Issuer: actions, Change: func(c *x509.Certificate) { c.ExtKeyUsage = nil }}, "", "lacks the code-signing usage"},
		"any usage":             {sigstoretest.Who{URI: workflow, Issuer: actions, Change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }}, "", "any usage"},
		"for TLS":               {sigstoretest.Who{URI: workflow, Issuer: actions, Change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }}, "", "no authority of the trusted root"},
		"an authority": {sigstoretest.Who{URI: workflow, Issuer: actions, Change: func(c *x509.Certificate) {
			c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
		}}, "", "is an authority's"},
		"critical unknown": {sigstoretest.Who{URI: workflow, Issuer: actions, Change: func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}}, "", "no authority of the trusted root"},
		"claim with a line end": {sigstoretest.Who{URI: workflow, Issuer: actions, Claims: map[int]string{20: "push\npull"}}, "", "its claim buildTrigger"},
		"claim that is no UTF-8": {who(func(c *x509.Certificate) {
			c.URIs = []*url.URL{{Scheme: "https", Host: "ci.example"}}
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 4}, Value: []byte("\xff")})
		}), "", "its claim githubWorkflowName"},
		"claim too long": {sigstoretest.Who{URI: workflow, Issuer: actions, Claims: map[int]string{4: strings.Repeat("x", 2049)}}, "", "its claim githubWorkflowName"},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t, c.who)
			m := f.material(entries{f.entry("dsse", "0.0.1")})
			if c.identity == "" {
				refused(t, f.root(), m, c.want)
				return
			}
			if v, err := f.root().Verify(m, now); err != nil || v.Identity != c.identity || v.Issuer != c.who.Issuer {
				t.Errorf("%v, %+v", err, v)
			}
		})
	}
}

// The timestamps of a certificate count for that certificate alone.
func TestCertificateTimestamps(t *testing.T) {
	taken := newFixture(t, github())
	sct := taken.signed.Certificate.Extensions[len(taken.signed.Certificate.Extensions)-1]
	for what, c := range map[string]struct {
		value []byte
		want  string
	}{
		"none":                {nil, "no well-formed certificate timestamps"},
		"of another":          {sct.Value, "none of its 1 certificate timestamps"},
		"empty list":          {[]byte{4, 2, 0, 0}, "no well-formed"},
		"cut":                 {append([]byte{4, 4}, sct.Value[2:6]...), "no well-formed"},
		"length beyond":       {[]byte{4, 4, 0, 9, 0, 1}, "no well-formed"},
		"no octet string":     {[]byte{5, 0}, "no well-formed"},
		"of a later version":  {[]byte{4, 7, 0, 5, 0, 3, 1, 2, 3}, "no well-formed"},
		"of version 0, short": {[]byte{4, 7, 0, 5, 0, 3, 0, 2, 3}, "no well-formed"},
	} {
		t.Run(what, func(t *testing.T) {
			who := github()
			who.NoSCT = true
			if c.value != nil {
				who.Change = func(cert *x509.Certificate) {
					cert.ExtraExtensions = append(cert.ExtraExtensions, pkix.Extension{Id: sct.Id, Value: c.value})
				}
			}
			f := newFixture(t, who)
			// The other certificate's log and authorities, so that only the certificate differs.
			f.CT = taken.CT
			refused(t, f.root(), f.material(entries{f.entry("dsse", "0.0.1")}), c.want)
		})
	}
}

// An authority that was taken from the root is gone, though a chain brings it along;
// and one that stays holds.
func TestRotation(t *testing.T) {
	f := newFixture(t, github())
	m := f.material(entries{f.entry("dsse", "0.0.1")})
	rotated := sigstoretest.New(t, start)
	next := rotated.Document()
	add := func(d map[string]any) {
		for _, member := range []string{"tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"} {
			mine, _ := d[member].([]any)
			theirs, _ := next[member].([]any)
			d[member] = append(mine, theirs...)
		}
	}
	before, err := f.root().Verify(m, now)
	if err != nil {
		t.Fatal(err)
	}
	after, err := f.root(add).Verify(m, now)
	if err != nil || len(after.Uses) != len(before.Uses) || after.Uses[0] != before.Uses[0] {
		t.Errorf("after a rotation: %v, %+v", err, after)
	}
	revoked := set(map[string]any{"start": start.Format(time.RFC3339), "end": signed.Add(-time.Hour).Format(time.RFC3339)}, "certificateAuthorities", "validFor")
	refused(t, f.root(add, revoked), m, "no authority of the trusted root")
	// An intermediate that is not listed does not lead to a root that is.
	rootOnly := func(d map[string]any) {
		chain := in(d, "certificateAuthorities", "certChain")
		list, _ := chain["certificates"].([]any)
		chain["certificates"] = list[1:]
	}
	refused(t, f.root(rootOnly), m, "no authority of the trusted root")
}
