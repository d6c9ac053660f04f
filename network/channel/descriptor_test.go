package channel_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

func TestOpenReadsWhatSignWrote(t *testing.T) {
	o := channeltest.New(t, "vendor", 7000)
	got, err := channel.Open(o.File(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(o.Descriptor, got); diff != "" {
		t.Error(diff)
	}
	print1, again := o.Descriptor.Fingerprint(), channel.Descriptor{}
	if print1 != got.Fingerprint() || len(print1) != 16*4+15 {
		t.Errorf("fingerprint %q, read again %q", print1, got.Fingerprint())
	}
	again = got
	again.Peer.Port++
	if again.Fingerprint() == print1 {
		t.Error("another port, and the same fingerprint")
	}
}

// forge signs a payload as it is.
func forge(t *testing.T, payload []byte, signer channeltest.Pair) []byte {
	t.Helper()
	const kind = "application/vnd.waybill.organization+json"
	sum := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload))
	sig, err := signer.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.MarshalIndent(map[string]any{
		"payloadType": kind, "payload": base64.StdEncoding.EncodeToString(payload),
		"signatures": []any{map[string]any{"sig": base64.StdEncoding.EncodeToString(sig), "cert": signer.PEM()}},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return ordered(t, append(file, '\n'))
}

// ordered writes an envelope's fields in their order.
func ordered(t *testing.T, file []byte) []byte {
	t.Helper()
	var e struct {
		PayloadType string `json:"payloadType"`
		Payload     string `json:"payload"`
		Signatures  []struct {
			Sig  string `json:"sig"`
			Cert string `json:"cert"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(file, &e); err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func payloadOf(t *testing.T, d channel.Descriptor) []byte {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// What an organisation could put into its own descriptor, signed by its own admin.
func TestOpenRefusesWhatDoesNotFit(t *testing.T) {
	vendor, rogue := channeltest.New(t, "vendor", 7000), channeltest.New(t, "rogue", 7100)
	past := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	late := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }
	as := func(role string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject = channeltest.Named("vendor-orderer", role) }
	}
	for name, c := range map[string]struct {
		change func(*channel.Descriptor)
		want   string
	}{
		"version":              {func(d *channel.Descriptor) { d.Version = 2 }, "version 2"},
		"name in capitals":     {func(d *channel.Descriptor) { d.Name = "Vendor" }, "name"},
		"name with a path":     {func(d *channel.Descriptor) { d.Name = "../vendor" }, "name"},
		"MSP id of a rule":     {func(d *channel.Descriptor) { d.MSPID = "A.peer', 'B" }, "MSP id"},
		"long MSP id":          {func(d *channel.Descriptor) { d.MSPID = strings.Repeat("A", 100) }, "MSP id"},
		"no roots":             {func(d *channel.Descriptor) { d.Roots = nil }, "no root"},
		"no TLS roots":         {func(d *channel.Descriptor) { d.TLSRoots = nil }, "no root"},
		"a person as root":     {func(d *channel.Descriptor) { d.Roots = append(d.Roots, vendor.Admin.PEM()) }, "CA flag"},
		"root twice":           {func(d *channel.Descriptor) { d.Roots = append(d.Roots, d.Roots[0]) }, "there already"},
		"expired root":         {func(d *channel.Descriptor) { d.Roots = append(d.Roots, channeltest.Authority(t, "old", past).PEM()) }, "expired"},
		"root of tomorrow":     {func(d *channel.Descriptor) { d.Roots = append(d.Roots, channeltest.Authority(t, "new", late).PEM()) }, "not in force"},
		"root below another":   {func(d *channel.Descriptor) { d.Roots = append(d.Roots, vendor.Enrolment.Below(t, "sub").PEM()) }, "vouches for itself"},
		"foreign intermediate": {func(d *channel.Descriptor) { d.Intermediates = []string{rogue.Enrolment.Below(t, "sub").PEM()} }, "not below"},
		"root that signs none": {func(d *channel.Descriptor) {
			d.Roots = append(d.Roots, channeltest.Authority(t, "weak", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }).PEM())
		}, "key usage"},
		"many roots": {func(d *channel.Descriptor) {
			for range 8 {
				d.Roots = append(d.Roots, channeltest.Authority(t, "more").PEM())
			}
		}, "more than 8"},
		"two in one":  {func(d *channel.Descriptor) { d.Roots[0] += channeltest.Authority(t, "second").PEM() }, "something else in it"},
		"text before": {func(d *channel.Descriptor) { d.Roots[0] = "Vendor's root\n" + d.Roots[0] }, "something else in it"},
		"a key for a root": {func(d *channel.Descriptor) {
			d.Roots[0] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
		}, "PEM of one"},
		"orderer of another":  {func(d *channel.Descriptor) { d.Orderer.Identity = rogue.OrdererAgent.PEM() }, "not below"},
		"orderer is a person": {func(d *channel.Descriptor) { d.Orderer.Identity = vendor.Admin.PEM() }, "want exactly"},
		"orderer is a root":   {func(d *channel.Descriptor) { d.Orderer.Identity = vendor.Enrolment.PEM() }, "CA flag"},
		"orderer expired":     {func(d *channel.Descriptor) { d.Orderer.Identity = vendor.Enrolment.Issue(t, as("orderer"), past).PEM() }, "expired"},
		"orderer of two roles": {func(d *channel.Descriptor) {
			d.Orderer.Identity = vendor.Enrolment.Issue(t, func(c *x509.Certificate) {
				c.Subject = channeltest.Named("x", "orderer")
				c.Subject.OrganizationalUnit = append(c.Subject.OrganizationalUnit, "admin")
			}).PEM()
		}, "want exactly"},
		"orderer revoked": {func(d *channel.Descriptor) {
			d.RevocationLists = []string{vendor.Enrolment.Revoke(t, vendor.OrdererAgent.Cert)}
		}, "revoked"},
		"admin revoked": {func(d *channel.Descriptor) {
			d.RevocationLists = []string{vendor.Enrolment.Revoke(t, vendor.Admin.Cert)}
		}, "signer: revoked"},
		"foreign revocation list": {func(d *channel.Descriptor) { d.RevocationLists = []string{rogue.Enrolment.Revoke(t)} }, "not signed by"},
		"TLS below enrolment": {func(d *channel.Descriptor) {
			d.Orderer.ServerTLS = vendor.Enrolment.Issue(t, channeltest.Server("vendor-orderer")).PEM()
		}, "not below"},
		"TLS of another host": {func(d *channel.Descriptor) { d.Orderer.Host = "orderer.vendor.example" }, "not orderer.vendor.example"},
		"TLS client only": {func(d *channel.Descriptor) {
			d.Orderer.ServerTLS = vendor.TLS.Issue(t, channeltest.Server("x"), func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }).PEM()
		}, "incompatible key usage"},
		"TLS server only": {func(d *channel.Descriptor) {
			d.Orderer.ClientTLS = vendor.TLS.Issue(t, channeltest.Server("x"), func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }).PEM()
		}, "incompatible key usage"},
		"no port":           {func(d *channel.Descriptor) { d.Peer.Port = 0 }, "port 0"},
		"port too high":     {func(d *channel.Descriptor) { d.Peer.Port = 1 << 16 }, "port 65536"},
		"control character": {func(d *channel.Descriptor) { d.Peer.Host = "peer\x1b[2K.example" }, "host"},
		"line in a host":    {func(d *channel.Descriptor) { d.Peer.Host = "peer.example\nrogue.example" }, "host"},
		"turned writing":    {func(d *channel.Descriptor) { d.Peer.Host = "peer\u202e.example" }, "host"},
		"host with a port":  {func(d *channel.Descriptor) { d.Peer.Host = "peer.example:1" }, "host"},
		"host in capitals":  {func(d *channel.Descriptor) { d.Peer.Host = "Peer.example" }, "host"},
		"IPv6":              {func(d *channel.Descriptor) { d.Peer.Host = "::1" }, "host"},
		"any host":          {func(d *channel.Descriptor) { d.Peer.Host = "0.0.0.0" }, "host"},
		"octal host":        {func(d *channel.Descriptor) { d.Peer.Host = "127.0.0.01" }, "host"},
		"number as host":    {func(d *channel.Descriptor) { d.Peer.Host = "2130706433" }, "host"},
		"gateway by http":   {func(d *channel.Descriptor) { d.Gateway = "http://vendor.example:1" }, "gateway"},
		"gateway's path":    {func(d *channel.Descriptor) { d.Gateway = "https://vendor.example:1/x" }, "gateway"},
		"gateway's user":    {func(d *channel.Descriptor) { d.Gateway = "https://security@vendor.example:1" }, "gateway"},
		"gateway no port":   {func(d *channel.Descriptor) { d.Gateway = "https://vendor.example" }, "gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			d := clone(vendor.Descriptor)
			c.change(&d)
			_, err := channel.Open(forge(t, payloadOf(t, d), vendor.Admin))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if _, err := channel.Sign(d, vendor.Admin.Cert, vendor.Admin.Key); err == nil {
				t.Error("Sign signs it")
			}
		})
	}
}

func clone(d channel.Descriptor) channel.Descriptor {
	orderer := *d.Orderer
	d.Orderer, d.Roots, d.TLSRoots = &orderer, bytesCopy(d.Roots), bytesCopy(d.TLSRoots)
	return d
}

func bytesCopy(list []string) []string { return append([]string(nil), list...) }

// What somebody could do to a file on its way, or sign without being who may.
func TestOpenRefusesForgedFiles(t *testing.T) {
	vendor, rogue := channeltest.New(t, "vendor", 7000), channeltest.New(t, "rogue", 7100)
	good, payload := vendor.File(t), payloadOf(t, vendor.Descriptor)
	edit := func(old, now string) []byte { return bytes.Replace(payload, []byte(old), []byte(now), 1) }
	pastAdmin := vendor.Enrolment.Issue(t, func(c *x509.Certificate) {
		c.Subject = channeltest.Named("admin", "admin")
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	caAdmin := vendor.Enrolment.Issue(t, func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid = channeltest.Named("admin", "admin"), true, true
	})
	stolen := channeltest.Pair{Cert: vendor.Admin.Cert, Key: rogue.Admin.Key}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"another's admin":          {forge(t, payload, rogue.Admin), "not below"},
		"another's key":            {forge(t, payload, stolen), "not made with"},
		"a client":                 {forge(t, payload, vendor.Enrolment.Issue(t, func(c *x509.Certificate) { c.Subject = channeltest.Named("p", "client") })), "want exactly"},
		"the orderer":              {forge(t, payload, vendor.OrdererAgent), "want exactly"},
		"the authority itself":     {forge(t, payload, vendor.Enrolment), "CA flag"},
		"an admin with a CA flag":  {forge(t, payload, caAdmin), "CA flag"},
		"an expired admin":         {forge(t, payload, pastAdmin), "expired"},
		"below the TLS root":       {forge(t, payload, vendor.TLS.Issue(t, func(c *x509.Certificate) { c.Subject = channeltest.Named("admin", "admin") })), "not below"},
		"unknown field":            {forge(t, edit(`"name"`, `"admin":"x","name"`), vendor.Admin), "unknown, repeated"},
		"field twice":              {forge(t, edit(`"name":"vendor"`, `"name":"rogue","name":"vendor"`), vendor.Admin), "unknown, repeated"},
		"field in capitals":        {forge(t, edit(`"name"`, `"NAME"`), vendor.Admin), "unknown, repeated"},
		"spaces":                   {forge(t, edit(`"name":`, `"name": `), vendor.Admin), "unknown, repeated"},
		"escapes":                  {forge(t, edit(`"vendor"`, `"v\u0065ndor"`), vendor.Admin), "unknown, repeated"},
		"something behind":         {forge(t, append(bytes.Clone(payload), ' '), vendor.Admin), "unknown, repeated"},
		"two payloads":             {forge(t, append(bytes.Clone(payload), payload...), vendor.Admin), "payload"},
		"null":                     {forge(t, []byte("null"), vendor.Admin), "version 0"},
		"list":                     {forge(t, []byte("[]"), vendor.Admin), "payload"},
		"changed after signing":    {bytes.Replace(good, []byte(base64.StdEncoding.EncodeToString(payload)), []byte(base64.StdEncoding.EncodeToString(edit(`:7000`, `:7001`))), 1), "not made with"},
		"another payload type":     {bytes.Replace(good, []byte("organization+json"), []byte("organisation+json"), 1), "payload type"},
		"unknown envelope field":   {bytes.Replace(good, []byte(`"payload"`), []byte(`"note": "x", "payload"`), 1), "added or changed"},
		"envelope field twice":     {bytes.Replace(good, []byte(`  "payload"`), []byte("  \"payload\": \"\",\n  \"payload\""), 1), "added or changed"},
		"file with something more": {append(bytes.Clone(good), "{}"...), "not a descriptor"},
		"file with a line more":    {append(bytes.Clone(good), '\n'), "added or changed"},
		"two signatures":           {bytes.Replace(good, []byte(`"signatures": [`), []byte(`"signatures": [{"sig": "", "cert": ""},`), 1), "2 signatures"},
		"no signature":             {[]byte(`{"payloadType":"application/vnd.waybill.organization+json","payload":"","signatures":[]}`), "0 signatures"},
		"huge":                     {bytes.Repeat([]byte(" "), channel.MaxFile+1), "at most"},
		"empty":                    {nil, "not a descriptor"},
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := channel.Open(c.file); err == nil || !strings.Contains(err.Error(), c.want) || d.Name != "" {
				t.Errorf("%v %q; want %q", err, d.Name, c.want)
			}
		})
	}
}

// An organisation without an orderer, one with intermediates, one that replaces its authority.
func TestOpenTakesWhatOrganisationsAre(t *testing.T) {
	for name, make := range map[string]func(*channeltest.Org){
		"no orderer": func(o *channeltest.Org) { o.Descriptor.Orderer = nil },
		"no gateway": func(o *channeltest.Org) { o.Descriptor.Gateway = "" },
		"host names": func(o *channeltest.Org) {
			o.Descriptor.Peer.Host, o.Descriptor.Gateway = "peer0.vendor-1.example", "https://waybill.vendor.example:443"
		},
		"intermediates": func(o *channeltest.Org) {
			below := o.Enrolment.Below(t, "people")
			o.Descriptor.Intermediates = []string{below.PEM()}
			o.Admin = below.Issue(t, func(c *x509.Certificate) { c.Subject = channeltest.Named("admin", "admin") })
		},
		"two roots": func(o *channeltest.Org) {
			o.Descriptor.Roots = append(o.Descriptor.Roots, channeltest.Authority(t, "vendor 2").PEM())
		},
		"somebody revoked": func(o *channeltest.Org) {
			o.Descriptor.RevocationLists = []string{o.Enrolment.Revoke(t, o.Enrolment.Issue(t).Cert)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := channeltest.New(t, "vendor", 7000)
			make(&o)
			d, err := channel.Open(o.File(t))
			if err != nil {
				t.Fatal(err)
			}
			others := []channel.Descriptor{d, channeltest.New(t, "audit", 7100).Descriptor}
			if _, err := channel.Found(channel.Parameters{}, others); err != nil {
				t.Error(err)
			}
		})
	}
}
