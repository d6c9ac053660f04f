package cert

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// trusts says whether whoever knows the roots, and nothing else, believes what an orderer shows.
func trusts(t *testing.T, roots []byte, shown string) error {
	t.Helper()
	certs, err := readCerts(shown)
	if err != nil {
		t.Fatal(err)
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: "localhost"}
	opts.Roots.AppendCertsFromPEM(roots)
	for _, c := range certs[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err = certs[0].Verify(opts)
	return err
}

// TestBridge: an orderer that was not restarted since knows the old TLS authority alone, and believes what the new one signs;
// so does one that knows the new alone. Authorities that may have none below them go on as before.
func TestBridge(t *testing.T) {
	for what, below := range map[string]int{"may vouch for its successor": 1, "may not": 0} {
		t.Run(what, func(t *testing.T) {
			f := testFolder(t, time.Hour)
			remakeTLS(t, f, below)
			channel := pinned(t, f, nil)
			var voted Changed
			o := Options{
				Nodes: &restarts{t: t, f: f}, Channel: func(context.Context) (Channel, error) { return channel, nil },
				Vote: func(c Changed) (string, error) { voted = c; return "vote", nil },
			}
			roll := func() Progress {
				t.Helper()
				p, err := f.RollOver(t.Context(), "VendorMSP", o)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			old := channel.Members[0].TLSRoots[0]
			p := roll()
			if others := strings.Contains(p.Todo, "restarts its orderer"); others != (below == 0) {
				t.Errorf("others are asked to restart: %q", p.Todo)
			}
			channel.Members[0].Roots, channel.Members[0].TLSRoots = voted.Roots, voted.TLSRoots
			roll()
			if _, err := f.Renew(t.Context(), nil, o); err != nil {
				t.Fatal(err)
			}
			shown := f.at("orderer", "tls", "server.crt")
			if err := trusts(t, old, shown); (err == nil) != (below > 0) {
				t.Errorf("who knows the old authority alone: %v", err)
			}
			fresh, err := readCerts(f.authorityPair(Transport).Cert)
			if err != nil {
				t.Fatal(err)
			}
			if err := trusts(t, encodeCert(fresh[0].Raw), shown); err != nil {
				t.Errorf("who knows the new authority alone: %v", err)
			}
			if other, err := readCerts(f.at("peer", "tls", "server.crt")); err != nil || len(other) != 1 {
				t.Errorf("a peer shows %d certificates, %v", len(other), err)
			}
			// It ends with the old authority, and is served no longer.
			if below == 0 {
				if _, err := os.Stat(f.bridgePath()); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("there is a bridge: %v", err)
				}
				return
			}
			end := fresh[1].NotAfter
			if b, err := readCert(f.bridgePath()); err != nil || b.NotAfter.After(end) {
				t.Errorf("the bridge outlives the old authority: %v", err)
			}
			pairs, err := f.Select([]string{OrdererTLS})
			if err != nil {
				t.Fatal(err)
			}
			if more, err := f.behind(pairs[0], fresh[0], end.Add(time.Second)); err != nil || more != nil {
				t.Errorf("served after its end: %s, %v", more, err)
			}
		})
	}
}

// remakeTLS gives the folder a TLS authority with so many authorities below it, and the orderer a certificate of it.
func remakeTLS(t *testing.T, f *Folder, below int) {
	t.Helper()
	s, err := f.signer(Transport)
	if err != nil {
		t.Fatal(err)
	}
	template, err := like(s.cert, s.key.Public(), s.cert.NotBefore, s.cert.NotAfter)
	if err != nil {
		t.Fatal(err)
	}
	template.MaxPathLen, template.MaxPathLenZero = below, below == 0
	der, err := signer{template, s.key}.sign(template, s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	file, _ := f.authorityFiles(Transport)
	writeTest(t, file, string(encodeCert(der)))
}
