package cert

import (
	"bytes"
	"context"
	"crypto/x509"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func TestRevoke(t *testing.T) {
	f := testFolder(t, time.Hour)
	var voted Changed
	o := Options{Vote: func(c Changed) (string, error) { voted = c; return "vote", nil }}
	lost, err := readCert(f.at("people", "publisher", "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Revoke(t.Context(), Revocation{Names: []string{"publisher"}, Earlier: true}, o); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("an earlier certificate, of which there is none: %v", err)
	}
	for range 3 { // the lost one is some generations back by the time that somebody notices
		if _, err := f.Renew(t.Context(), []string{"publisher"}, o); err != nil {
			t.Fatal(err)
		}
	}
	now, err := readCert(f.at("people", "publisher", "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	done, err := f.Revoke(t.Context(), Revocation{Names: []string{"publisher"}, Earlier: true}, o)
	if err != nil || len(done) != 3 || done[0].State != WaitsForVote || done[0].Todo != "vote" {
		t.Fatalf("got %+v, %v", done, err)
	}
	lists := parseLists(voted.RevocationLists)
	if len(lists) != 1 || !revoked(lost, lists) || revoked(now, lists) {
		t.Errorf("the lost one counts: %v, the one in use does not: %v", !revoked(lost, lists), revoked(now, lists))
	}
	authority, err := f.signer(Enrolment)
	if err != nil {
		t.Fatal(err)
	}
	if err := lists[0].CheckSignatureFrom(authority.cert); err != nil || !bytes.Equal(lists[0].AuthorityKeyId, authority.cert.SubjectKeyId) {
		t.Errorf("Fabric finds a list by its authority's key: %v", err)
	}
	first := lists[0].Number
	if _, err := f.Revoke(t.Context(), Revocation{Names: []string{"admin"}, Serials: []string{"0a1b"}}, o); err != nil {
		t.Fatal(err)
	}
	lists = parseLists(voted.RevocationLists)
	if len(lists) != 1 || len(lists[0].RevokedCertificateEntries) != 5 || !revoked(lost, lists) || lists[0].Number.Cmp(first) <= 0 {
		t.Errorf("the second list has %d entries, number %v after %v", len(lists[0].RevokedCertificateEntries), lists[0].Number, first)
	}
	for what, r := range map[string]Revocation{
		"nothing": {}, "a server's": {Names: []string{"peer-tls"}}, "what the channel pins": {Names: []string{OrdererEnrolment}},
		"no number": {Serials: []string{"xyz"}}, "below zero": {Serials: []string{"-5"}},
	} {
		if _, err := f.Revoke(t.Context(), r, o); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRollOver(t *testing.T) {
	f := testFolder(t, time.Hour)
	nodes := &restarts{t: t, f: f}
	var voted Changed
	channel := pinned(t, f, nil)
	o := Options{
		Nodes: nodes, Channel: func(context.Context) (Channel, error) { return channel, nil },
		Vote: func(c Changed) (string, error) { voted = c; return "vote", nil },
	}
	roll := func(want Stage) Progress {
		t.Helper()
		p, err := f.RollOver(t.Context(), "VendorMSP", o)
		if err != nil || p.Stage != want {
			t.Fatalf("got %+v, %v, want %s", p, err, want)
		}
		wholePairs(t, f)
		return p
	}
	if _, err := f.Revoke(t.Context(), Revocation{Names: []string{"publisher"}}, o); err != nil {
		t.Fatal(err)
	}
	before, err := readCert(f.at("ca", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}

	roll(Introduced)
	if len(voted.Roots) != 2 || len(voted.TLSRoots) != 2 || !slices.Equal(nodes.nodes, []string{Chaincode, Peer, Orderer}) {
		t.Errorf("%d and %d authorities put to the vote, restarted %v", len(voted.Roots), len(voted.TLSRoots), nodes.nodes)
	}
	for _, file := range []string{f.at("peer", "tls", "ca.crt"), f.at("orderer", "tls", "ca.crt"), f.at("ca", "tlsca.crt"), f.at("ca", "ca.crt")} {
		if certs, err := readCerts(file); err != nil || len(certs) != 2 {
			t.Errorf("%s: %d authorities, %v", file, len(certs), err)
		}
	}
	for _, msp := range []string{"msp", "peer/msp", "orderer/msp"} {
		entries, err := os.ReadDir(f.at(msp, "cacerts"))
		if err != nil || len(entries) != 2 {
			t.Errorf("%s knows %v, %v", msp, entries, err)
		}
	}
	if c, err := readCert(f.at("ca", "ca.crt")); err != nil || !c.Equal(before) {
		t.Errorf("the new authority signs before the channel knows it: %v", err)
	}
	roots := voted.Roots
	roll(Introduced) // the vote is not over
	if !slices.EqualFunc(roots, voted.Roots, bytes.Equal) {
		t.Error("asked again, it puts other authorities to the vote")
	}
	channel.Members[0].Roots = voted.Roots
	roll(Introduced) // one of two kinds
	channel.Members[0].TLSRoots = voted.TLSRoots

	if p := roll(Issuing); !strings.Contains(p.Todo, "renew --all") {
		t.Errorf("got %+v", p)
	}
	if p := roll(Issuing); len(p.Old) != 10 {
		t.Errorf("below the old authorities are %v", p.Old)
	}
	lists, err := f.RevocationLists()
	if err != nil || len(lists) != 1 {
		t.Errorf("the old authority's list: %d, %v", len(lists), err)
	}
	if _, err := f.Renew(t.Context(), nil, o); err != nil {
		t.Fatal(err)
	}
	if p := roll(Issuing); !slices.Equal(p.Old, []string{OrdererEnrolment}) {
		t.Errorf("below the old authorities are %v", p.Old)
	}
	channel.Consenters[0].Identity = voted.OrdererIdentity
	if _, err := f.Renew(t.Context(), []string{OrdererEnrolment}, o); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Revoke(t.Context(), Revocation{Names: []string{"auditor", "admin"}}, o); err == nil {
		t.Error("somebody who is not here was revoked")
	}
	old, err := readCert(f.at("pairs", "admin", "0", certFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Revoke(t.Context(), Revocation{Names: []string{"admin"}, Earlier: true}, o); err != nil {
		t.Errorf("what the old authority issued cannot be taken back while it is trusted: %v", err)
	}
	if lists, err := f.RevocationLists(); err != nil || len(lists) != 1 || !revoked(old, parseLists(lists)) || len(parseLists(lists)[0].RevokedCertificateEntries) != 2 {
		t.Errorf("%d lists, %v", len(lists), err)
	}
	if _, err := f.Revoke(t.Context(), Revocation{Names: []string{"admin"}}, o); err != nil {
		t.Fatal(err)
	}
	if lists, err := f.RevocationLists(); err != nil || len(lists) != 2 {
		t.Errorf("%d lists of two authorities, %v", len(lists), err)
	}

	roll(Leaving)
	if len(voted.Roots) != 1 || len(voted.TLSRoots) != 1 || bytes.Equal(voted.Roots[0], encodeCert(before.Raw)) {
		t.Error("the old authority is still put to the vote")
	}
	roll(Leaving)
	channel.Members[0].Roots, channel.Members[0].TLSRoots = voted.Roots, voted.TLSRoots
	nodes.nodes = nil
	roll(Finished)
	if len(nodes.nodes) != 3 {
		t.Errorf("restarted %v", nodes.nodes)
	}
	if certs, err := readCerts(f.at("ca", "ca.crt")); err != nil || len(certs) != 1 || certs[0].Equal(before) {
		t.Errorf("the old authority is still here: %v", err)
	}
	if lists, err := f.RevocationLists(); err != nil || len(lists) != 1 {
		t.Errorf("%d lists of one authority, %v", len(lists), err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(voted.Roots[0])
	admin, err := readCert(f.at("people", "admin", "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Error(err)
	}
}
