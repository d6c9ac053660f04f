package cert

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/disk"
)

func bigOne() *big.Int { return big.NewInt(1) }

// TestEveryStepIsWhole cuts a renewal off after each change of a file or a link: what a node would read then is a
// certificate with its key, and another renewal goes through.
func TestEveryStepIsWhole(t *testing.T) {
	f := testFolder(t, time.Hour)
	pairs, err := f.Select([]string{"admin"})
	if err != nil {
		t.Fatal(err)
	}
	p := pairs[0]
	o := Options{Channel: pinned(t, f, nil).asked}
	serial := func() string {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			t.Fatalf("not whole: %v", err)
		}
		return pair.Leaf.SerialNumber.String()
	}
	first := serial()
	if o, err = o.withDefaults(); err != nil {
		t.Fatal(err)
	}

	// Prepared, and then nothing.
	if err := f.prepare(p, o); err != nil {
		t.Fatal(err)
	}
	if serial() != first {
		t.Error("preparing switched")
	}
	// Adopted, and then nothing.
	if err := f.adopt(p); err != nil {
		t.Fatal(err)
	}
	if serial() != first {
		t.Error("adopting switched")
	}
	// Half adopted: one of the files is a link, the other not yet.
	text, err := os.ReadFile(p.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(p.Key), os.WriteFile(p.Key, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	if serial() != first {
		t.Error("half adopted is something else")
	}
	// Switched, and then nothing: next still says the same.
	if err := f.adopt(p); err != nil {
		t.Fatal(err)
	}
	to, err := f.staged(p)
	if err != nil || to == "" {
		t.Fatalf("nothing is prepared: %v", err)
	}
	if err := link(filepath.Base(to), filepath.Join(f.generations(p), current)); err != nil {
		t.Fatal(err)
	}
	second := serial()
	if second == first {
		t.Error("not switched")
	}
	if again, err := f.staged(p); err != nil || again != "" {
		t.Errorf("what is in use counts as prepared: %q, %v", again, err)
	}
	// Left behind by whatever died.
	for _, name := range []string{".new-17", "99"} {
		if err := os.MkdirAll(filepath.Join(f.generations(p), name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Renew(t.Context(), []string{"admin"}, o); err != nil {
		t.Fatal(err)
	}
	third := serial()
	if third == first || third == second {
		t.Error("renewed to what was there")
	}
	for range 2 {
		if _, err := f.Renew(t.Context(), []string{"admin"}, o); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(f.generations(p))
	if err != nil {
		t.Fatal(err)
	}
	keys, certs := 0, 0
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if _, err := os.Stat(filepath.Join(f.generations(p), e.Name(), keyFile)); err == nil && e.Name() != current {
			keys++
		}
		if _, err := os.Stat(filepath.Join(f.generations(p), e.Name(), certFile)); err == nil && e.Name() != current {
			certs++
		}
	}
	if keys != 2 || certs != 5 || slices.Contains(names, ".new-17") || slices.Contains(names, next) {
		t.Errorf("%d keys and %d certificates are left of 5 generations: %v", keys, certs, names)
	}
}

// TestFilesInTheLinksPlace: whoever writes over what was renewed, as a restored backup or an encryption of the key does,
// is believed, and nothing of it is lost by the next renewal.
func TestFilesInTheLinksPlace(t *testing.T) {
	f := testFolder(t, time.Hour)
	names := []string{"publisher"}
	pairs, err := f.Select(names)
	if err != nil {
		t.Fatal(err)
	}
	p := pairs[0]
	cert, key, err := readPair(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Renew(t.Context(), names, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(disk.Write(p.Key, key, 0o600), disk.Write(p.Cert, cert, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Renew(t.Context(), names, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := tls.LoadX509KeyPair(p.Cert, p.Key); err != nil {
		t.Error(err)
	}
	done, err := f.Revoke(t.Context(), Revocation{Names: names, Earlier: true}, Options{})
	if err != nil || len(done) != 2 {
		t.Errorf("%d earlier certificates, %v", len(done), err)
	}
	if err := disk.Write(p.Key, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Renew(t.Context(), names, Options{}); provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), "encrypted") {
		t.Errorf("the new key would lie there in the clear: %v", err)
	}
	sealed := []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nBBBB\n-----END ENCRYPTED PRIVATE KEY-----\n")
	protect := func(string, crypto.PrivateKey) ([]byte, error) { return sealed, nil }
	if _, err := f.Renew(t.Context(), names, Options{Protect: protect}); err != nil {
		t.Fatal(err)
	}
	if _, now, err := readPair(p); err != nil || !bytes.Equal(now, sealed) {
		t.Errorf("the new key is not encrypted: %v", err)
	}
}

// TestRestoredGenerations: a backup has the files for the links. What was let in before a host was lost can be revoked on
// the one that took its place.
func TestRestoredGenerations(t *testing.T) {
	f := testFolder(t, time.Hour)
	names := []string{"publisher"}
	pairs, err := f.Select(names)
	if err != nil {
		t.Fatal(err)
	}
	p := pairs[0]
	for range 2 {
		if _, err := f.Renew(t.Context(), names, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	cert, key, err := readPair(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(disk.Write(p.Key, key, 0o600), disk.Write(p.Cert, cert, 0o644), os.Remove(filepath.Join(f.generations(p), current))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Renew(t.Context(), names, Options{}); err != nil {
		t.Fatal(err)
	}
	if done, err := f.Revoke(t.Context(), Revocation{Names: names, Earlier: true}, Options{}); err != nil || len(done) != 3 {
		t.Errorf("%d earlier certificates, want the first and those of two renewals: %v", len(done), err)
	}
}

func TestOwnPKI(t *testing.T) {
	f := testFolder(t, time.Hour)
	authority, err := f.signer(Enrolment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.at("ca", "ca.key")); err != nil {
		t.Fatal(err)
	}
	names := []string{"publisher"}
	pairs, err := f.Select(names)
	if err != nil {
		t.Fatal(err)
	}
	p := pairs[0]
	old, err := readCert(p.Cert)
	if err != nil {
		t.Fatal(err)
	}
	done, err := f.Renew(t.Context(), names, Options{})
	if err != nil || done[0].State != WaitsForElsewhere {
		t.Fatalf("got %+v, %v", done, err)
	}
	stranger := testFolder(t, time.Hour)
	other, err := stranger.signer(Enrolment)
	if err != nil {
		t.Fatal(err)
	}
	staged, err := f.staged(p)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(staged, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	key, err := parseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(s signer, name string, of any) []byte {
		template, err := like(person(name, "client"), of, time.Now().Add(-time.Minute), time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		template.RawSubject = nil
		der, err := s.sign(template, of)
		if err != nil {
			t.Fatal(err)
		}
		return encodeCert(der)
	}
	for what, wrong := range map[string][]byte{
		"of another key":    answer(authority, "publisher", old.PublicKey),
		"of another person": answer(authority, "admin", key.Public()),
		"of a stranger":     answer(other, "publisher", key.Public()),
		"no certificate":    []byte("later"),
	} {
		writeTest(t, f.answer(p), string(wrong))
		if _, err := f.Renew(t.Context(), names, Options{}); err == nil {
			t.Errorf("an answer %s was taken", what)
		}
		if now, err := readCert(p.Cert); err != nil || !now.Equal(old) {
			t.Errorf("an answer %s: switched, %v", what, err)
		}
	}
	right := answer(authority, "publisher", key.Public())
	// As half of all signatures are, and with its chain.
	writeTest(t, f.answer(p), string(encodeCert(highS(t, right)))+string(encodeCert(authority.cert.Raw)))
	if done, err = f.Renew(t.Context(), names, Options{}); err != nil || done[0].State != Renewed {
		t.Fatalf("got %+v, %v", done, err)
	}
	if _, err := tls.LoadX509KeyPair(p.Cert, p.Key); err != nil {
		t.Error(err)
	}
	if now, err := os.ReadFile(p.Cert); err != nil || !bytes.Equal(now, right) {
		t.Errorf("it is not in the form that Fabric keeps: %v\n%s", err, now)
	}
	if _, err := f.Revoke(t.Context(), Revocation{Names: names}, Options{}); err == nil {
		t.Error("a list was signed without the authority's key")
	}
}

// highS is a certificate with its signature in the other form, which is as valid.
func highS(t *testing.T, text []byte) []byte {
	t.Helper()
	certs, err := parseCerts(text)
	if err != nil {
		t.Fatal(err)
	}
	var sig struct{ R, S *big.Int }
	var whole struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	_, errSig := asn1.Unmarshal(certs[0].Signature, &sig)
	_, errWhole := asn1.Unmarshal(certs[0].Raw, &whole)
	if errSig != nil || errWhole != nil {
		t.Fatal(errSig, errWhole)
	}
	sig.S.Sub(elliptic.P256().Params().N, sig.S)
	raw, err := asn1.Marshal(sig)
	if err != nil {
		t.Fatal(err)
	}
	whole.Signature = asn1.BitString{Bytes: raw, BitLength: 8 * len(raw)}
	der, err := asn1.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
