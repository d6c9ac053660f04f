package sigstore

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"

	"github.com/notaryproject/tspclient-go"
)

// stamped verifies a timestamp over the signature by a timestamp authority of the root.
// ok is false where none vouches for it: it is then disregarded, and cannot help.
func (r *TrustedRoot) stamped(response, signature []byte) (u Use, ok bool) {
	if len(r.stampers) == 0 {
		return u, false
	}
	var whole asn1.RawValue
	if rest, err := asn1.Unmarshal(response, &whole); err != nil || len(rest) != 0 {
		return u, false
	}
	var parsed tspclient.Response
	if parsed.UnmarshalBinary(response) != nil {
		return u, false
	}
	token, err := parsed.SignedToken()
	if err != nil || len(token.SignerInfos) != 1 || len(token.Certificates) > MaxCertificates {
		return u, false
	}
	info, err := token.Info()
	if err != nil {
		return u, false
	}
	for _, e := range info.Extensions {
		if e.Critical {
			return u, false
		}
	}
	at := info.GenTime.UTC()
	// A year out of bounds could be the zero time, for which crypto/x509 asks the clock.
	if _, err := info.Validate(signature); err != nil || at.Year() < 1970 || at.Year() > 9999 {
		return u, false
	}
	for _, a := range r.stampers {
		if a.trusted(at) && a.signedToken(*token, at) {
			return Use{a.ID, at}, true
		}
	}
	return u, false
}

// signedToken tells whether the token is signed by the authority's own certificate, or
// where it names none, by one below it. That certificate is for timestamps alone, the
// token names it by its hash (RFC 5816), and its chain held at the time.
func (a authority) signedToken(token tspclient.SignedToken, at time.Time) bool {
	last := len(a.chain) - 1
	roots := x509.NewCertPool() // never nil: that would ask the machine's own roots
	roots.AddCert(a.chain[last])
	// What it brings comes first, and brings the signer's if it brings any: another one
	// under the signer's name is no help.
	embedded := token.Certificates
	token.Certificates = append(append([]*x509.Certificate{}, embedded...), a.chain[:last]...)
	chain, err := token.Verify(context.Background(), x509.VerifyOptions{
		Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil || len(chain) == 0 || len(embedded) > 0 && !slices.ContainsFunc(embedded, chain[0].Equal) {
		return false
	}
	// What is not signed of the token may not name another either.
	named := token.SignerInfos[0].SignerIdentifier
	if !bytes.Equal(named.Issuer.FullBytes, chain[0].RawIssuer) || named.SerialNumber.Cmp(chain[0].SerialNumber) != 0 {
		return false
	}
	return last == 0 || a.chain[0].IsCA || bytes.Equal(chain[0].Raw, a.chain[0].Raw)
}
