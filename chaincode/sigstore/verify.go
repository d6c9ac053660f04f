package sigstore

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"
)

// skew is by how much the clocks of authorities may be ahead of the ledger's.
const skew = 15 * time.Minute

// Verify checks a signature by a certificate below the root, as the package comment
// says; now is the transaction's time. What it refuses is Invalid, with a text of its own.
func (r *TrustedRoot) Verify(m Material, now time.Time) (Verified, error) {
	if err := m.check(); err != nil {
		return Verified{}, err
	}
	leaf, v, err := readSigner(m.Certificate)
	if err != nil {
		return Verified{}, err
	}
	if !m.Verifies(leaf.PublicKey) {
		return Verified{}, invalid("the signature is not by its certificate over these bytes")
	}
	logs, err := r.checkEntries(m, leaf)
	if err != nil {
		return Verified{}, err
	}
	times := logs.times
	for _, response := range m.Timestamps {
		if u, ok := r.stamped(response, m.Signature); ok {
			times = append(times, u)
		}
	}
	if len(times) == 0 {
		return Verified{}, invalid("no time of signing: neither a log nor a timestamp authority of the trusted root signed one")
	}
	v.Uses = times
	var paths paths
	var issuers []*x509.Certificate
	for _, t := range times {
		if t.At.After(now.Add(skew)) {
			return Verified{}, invalid("signed at %s, after this transaction", t.At.Format(time.RFC3339))
		}
		for _, l := range logs.timeless {
			if !l.trusted(t.At) {
				return Verified{}, invalid("log entry: %q was not trusted at %s", l.Name, t.At.Format(time.RFC3339))
			}
			v.Uses = append(v.Uses, Use{l.ID, t.At})
		}
		if !paths.held(t.At) {
			if paths, err = r.chain(leaf, t.At); err != nil {
				return Verified{}, err
			}
			issuers = append(issuers, paths.issuers()...)
		}
		v.Uses, v.Times = append(v.Uses, Use{paths.ID, t.At}), append(v.Times, t.At)
	}
	sct, err := r.checkSCT(leaf, distinct(issuers))
	if err != nil {
		return Verified{}, err
	}
	v.Uses = append(v.Uses, sct...)
	slices.SortFunc(v.Uses, func(a, b Use) int { return cmp.Or(cmp.Compare(a.ID, b.ID), a.At.Compare(b.At)) })
	v.Uses = slices.CompactFunc(v.Uses, func(a, b Use) bool { return a.ID == b.ID && a.At.Equal(b.At) })
	slices.SortFunc(v.Times, time.Time.Compare)
	v.Times = slices.CompactFunc(v.Times, time.Time.Equal)
	return v, nil
}

// readSigner reads a certificate that is for signing code, and whom it names.
func readSigner(der []byte) (*x509.Certificate, Verified, error) {
	var v Verified
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, v, invalid("the signer's certificate cannot be read")
	}
	if err := SigningCertificate(leaf); err != nil {
		return nil, v, err
	}
	if v.Identity, err = keylessIdentity(leaf); err != nil {
		return nil, v, err
	}
	if v.Issuer, err = Issuer(leaf); err != nil {
		return nil, v, err
	}
	if v.Claims, err = claims(leaf); err != nil {
		return nil, v, err
	}
	if otherName(leaf) != "" {
		// crypto/x509 knows no such name and refuses it where it is critical; it was read here.
		leaf.UnhandledCriticalExtensions = slices.DeleteFunc(leaf.UnhandledCriticalExtensions,
			func(id asn1.ObjectIdentifier) bool { return id.Equal(oidSAN) })
	}
	return leaf, v, nil
}

// paths are the chains from a certificate to one authority of the root.
type paths struct {
	Anchor
	chains [][]*x509.Certificate
}

// held tells whether the authority was trusted at a time and every certificate of one of
// the chains valid.
func (p paths) held(at time.Time) bool {
	return len(p.chains) > 0 && p.trusted(at) && slices.ContainsFunc(p.chains, func(chain []*x509.Certificate) bool {
		return !slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return at.Before(c.NotBefore) || at.After(c.NotAfter) })
	})
}

// issuers are those that signed the certificate in any of the chains.
func (p paths) issuers() (out []*x509.Certificate) {
	for _, chain := range p.chains {
		out = append(out, chain[1]) // the certificate itself is no authority's, and so no root
	}
	return out
}

// chain finds the authority that was trusted at a time and that the certificate's chain
// leads to, every certificate of it being valid then.
func (r *TrustedRoot) chain(leaf *x509.Certificate, at time.Time) (paths, error) {
	for _, a := range r.authorities {
		if !a.trusted(at) {
			continue
		}
		last := len(a.chain) - 1
		opts := x509.VerifyOptions{
			Roots:         x509.NewCertPool(), // never nil: that would ask the machine's own roots
			Intermediates: x509.NewCertPool(),
			CurrentTime:   at, // a verified time: never zero, which would ask the clock
			KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		}
		opts.Roots.AddCert(a.chain[last])
		for _, c := range a.chain[:last] {
			opts.Intermediates.AddCert(c)
		}
		if chains, err := leaf.Verify(opts); err == nil {
			return paths{a.Anchor, chains}, nil
		}
	}
	return paths{}, invalid("no authority of the trusted root vouches for the certificate at %s", at.Format(time.RFC3339))
}

func distinct(certs []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range certs {
		if !slices.ContainsFunc(out, func(o *x509.Certificate) bool { return bytes.Equal(o.Raw, c.Raw) }) {
			out = append(out, c)
		}
	}
	return out
}
