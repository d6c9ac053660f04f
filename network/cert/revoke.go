package cert

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// listLifetime is how long a revocation list says it holds. Fabric goes by the newest it was given, however old; the
// list is made anew with each revocation.
const listLifetime = 10 * 365 * 24 * time.Hour

// Revocation says which certificates no longer count.
type Revocation struct {
	Names   []string // of pairs: the certificate in use, and every earlier one of that name
	Earlier bool     // of the names, only the earlier ones: who lost a key renews first, and then takes back what was lost
	Serials []string // hexadecimal, of certificates that are not here
}

// Revoke adds certificates to the organisation's revocation list, which its enrolment authority signs. It is in force
// once the channel's configuration has the list: Vote is asked to see to it. Whatever the channel's list has stays in it.
func (f *Folder) Revoke(ctx context.Context, r Revocation, o Options) ([]Outcome, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(r.Names)+len(r.Serials) == 0 {
		return nil, provenance.Errorf(provenance.Invalid, "nothing is named")
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	authority, err := f.signer(Enrolment)
	if errors.Is(err, errElsewhere) { // whoever signs also takes back
		return nil, provenance.Errorf(provenance.Invalid, "the organisation's own PKI signs: take its revocation list, put it at %s and export the descriptor", f.relative(f.listPath()))
	}
	if err != nil {
		return nil, err
	}
	certs, err := f.named(r)
	if err != nil {
		return nil, err
	}
	for _, s := range r.Serials {
		n, ok := new(big.Int).SetString(s, 16)
		if !ok || n.Sign() <= 0 {
			return nil, provenance.Errorf(provenance.Invalid, "serial number %q: want hexadecimal digits, as `waybill cert list -o json` prints them", s)
		}
		certs = append(certs, &x509.Certificate{SerialNumber: n, RawIssuer: authority.cert.RawSubject})
	}
	if len(certs) == 0 {
		return nil, provenance.Errorf(provenance.NotFound, "there is no earlier certificate of %v here", r.Names)
	}
	if o.Channel != nil {
		if err := f.askRevoked(ctx, o); err != nil {
			return nil, err
		}
	}
	lists, out, err := f.extend(authority, certs, o.Now())
	if err != nil {
		return nil, err
	}
	if err := f.writeLists(lists); err != nil {
		return nil, err
	}
	todo := "put the list " + f.relative(f.listPath()) + " to the channel's vote"
	if o.Vote != nil {
		if todo, err = o.Vote(Changed{RevocationLists: lists}); err != nil {
			return out, err
		}
	}
	for i := range out {
		out[i].State, out[i].Todo = WaitsForVote, todo
	}
	return out, nil
}

// named returns the certificates that names stand for.
func (f *Folder) named(r Revocation) ([]*x509.Certificate, error) {
	if len(r.Names) == 0 {
		return nil, nil
	}
	pairs, err := f.Select(r.Names)
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for _, p := range pairs {
		switch {
		case p.Authority != Enrolment:
			return nil, provenance.Errorf(provenance.Invalid, "%s opens connections and signs nothing: Fabric knows no revocation of TLS certificates; renew it, and the old one ends with its term", p.Name)
		case p.Name == OrdererEnrolment:
			return nil, provenance.Errorf(provenance.Invalid, "%s is pinned in the channel: a renewal and its vote take its word away", p.Name)
		}
		files, err := filepath.Glob(filepath.Join(f.generations(p), "*", certFile))
		if err != nil {
			return nil, err
		}
		inUse, err := readCert(p.Cert)
		if err != nil {
			return nil, err
		}
		for _, file := range append(files, p.Cert) {
			c, err := readCert(file)
			if err != nil {
				return nil, err
			}
			if r.Earlier && c.Equal(inUse) {
				continue
			}
			if !slices.ContainsFunc(out, func(have *x509.Certificate) bool { return have.Equal(c) }) {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// extend signs the lists with the certificates added to what they hold: each authority its own, the one that signs now and,
// during a roll-over, the one before.
func (f *Folder) extend(authority signer, certs []*x509.Certificate, now time.Time) ([][]byte, []Outcome, error) {
	have, err := f.RevocationLists()
	if err != nil {
		return nil, nil, err
	}
	var out []Outcome
	add := map[string][]*x509.Certificate{} // by issuer
	for _, c := range certs {
		add[string(c.RawIssuer)] = append(add[string(c.RawIssuer)], c)
		out = append(out, Outcome{Name: fmt.Sprintf("%x", c.SerialNumber.Bytes()), Expires: c.NotAfter})
	}
	var all [][]byte
	for _, s := range append([]signer{authority}, f.before(authority)...) {
		list, found := listOf(s, have, now)
		for _, c := range add[string(s.cert.RawSubject)] {
			if !listed(list, c) {
				list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: now})
			}
		}
		if !found && len(list.RevokedCertificateEntries) == 0 {
			continue
		}
		delete(add, string(s.cert.RawSubject))
		der, err := x509.CreateRevocationList(rand.Reader, list, s.cert, s.key)
		if err != nil {
			return nil, nil, fmt.Errorf("sign revocation list: %w", err)
		}
		all = append(all, encodeList(der))
	}
	for _, left := range add {
		return nil, nil, provenance.Errorf(provenance.Invalid, "%s was issued by %s, whose key is not here", left[0].Subject, left[0].Issuer)
	}
	return all, out, nil
}

// listOf is the authority's next list, with what its last one holds.
func listOf(s signer, have [][]byte, now time.Time) (list *x509.RevocationList, found bool) {
	list = &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-clockSkew), NextUpdate: now.Add(listLifetime)}
	for _, old := range parseLists(have) {
		if old.CheckSignatureFrom(s.cert) != nil {
			continue
		}
		found = true
		for _, e := range old.RevokedCertificateEntries {
			if !listed(list, &x509.Certificate{SerialNumber: e.SerialNumber}) {
				list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, e)
			}
		}
		if old.Number != nil && old.Number.Cmp(list.Number) >= 0 {
			list.Number = new(big.Int).Add(old.Number, big.NewInt(1))
		}
	}
	return list, found
}

// before returns the enrolment authorities that are still trusted beside the one that signs, as far as their keys are here.
func (f *Folder) before(authority signer) []signer {
	trusted, err := readCerts(f.at("ca", "ca.crt"))
	if err != nil {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(f.generations(f.authorityPair(Enrolment)), "*", keyFile))
	if err != nil {
		return nil
	}
	var out []signer
	for _, c := range trusted[1:] {
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			if key, err := parseKey(raw); err == nil && publicEqual(key.Public(), c.PublicKey) && !c.Equal(authority.cert) {
				out = append(out, signer{c, key})
				break
			}
		}
	}
	return out
}

// RevocationLists returns the organisation's lists, each as PEM: those that one of its authorities signed.
func (f *Folder) RevocationLists() ([][]byte, error) {
	raw, err := os.ReadFile(f.listPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	authorities, err := f.chain(Enrolment)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, list := range parseLists([][]byte{raw}) {
		if slices.ContainsFunc(authorities, func(c *x509.Certificate) bool { return list.CheckSignatureFrom(c) == nil }) {
			out = append(out, encodeList(list.Raw))
		}
	}
	return out, nil
}

func encodeList(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func listed(list *x509.RevocationList, c *x509.Certificate) bool {
	return slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(c.SerialNumber) == 0 })
}

// revoked says whether one of the lists of its issuer names the certificate.
func revoked(c *x509.Certificate, lists []*x509.RevocationList) bool {
	return slices.ContainsFunc(lists, func(l *x509.RevocationList) bool { return bytes.Equal(l.RawIssuer, c.RawIssuer) && listed(l, c) })
}

func parseLists(raw [][]byte) []*x509.RevocationList {
	var out []*x509.RevocationList
	for _, b := range raw {
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			if list, err := x509.ParseRevocationList(block.Bytes); err == nil {
				out = append(out, list)
			}
		}
	}
	return out
}
