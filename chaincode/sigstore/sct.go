package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"time"
)

var oidSCTs = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2} //nolint:gochecknoglobals // a constant

const maxSCTs = 8

// sct is a signed certificate timestamp: a CT log's promise to take a certificate.
// Source: RFC 6962, section 3.2 and 3.3.
type sct struct {
	logID      string
	at         time.Time
	millis     uint64
	extensions []byte
	algorithm  [2]byte // hash, signature: RFC 5246, section 7.4.1.4.1
	signature  []byte
}

// checkSCT verifies one of the certificate's timestamps by a CT log of the root, for any
// of the issuers that the chain may have. A root without CT logs demands none.
func (r *TrustedRoot) checkSCT(leaf *x509.Certificate, issuers []*x509.Certificate) ([]Use, error) {
	if len(r.ctLogs) == 0 {
		return nil, nil
	}
	scts, ok := readSCTs(leaf)
	tbs := withoutSCTs(leaf.RawTBSCertificate)
	if !ok || tbs == nil {
		return nil, invalid("certificate: it has no well-formed certificate timestamps, and the trusted root demands one")
	}
	for _, s := range scts {
		for _, l := range r.ctLogs {
			if l.id != s.logID || !l.trusted(s.at) {
				continue
			}
			for _, issuer := range issuers {
				if l.signedSCT(s, tbs, issuer) {
					return []Use{{l.ID, s.at}}, nil
				}
			}
		}
	}
	return nil, invalid("certificate: none of its %d certificate timestamps is by a CT log of the trusted root", len(scts))
}

// signedSCT checks a timestamp over a precertificate: the certificate without its
// timestamps, and the hash of its issuer's key.
func (l logKey) signedSCT(s sct, tbs []byte, issuer *x509.Certificate) bool {
	const version, certificateTimestamp, precertificate = 0, 0, 1
	keyHash := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	signed := binary.BigEndian.AppendUint64([]byte{version, certificateTimestamp}, s.millis)
	signed = append(signed, 0, precertificate)
	signed = append(signed, keyHash[:]...)
	signed = append(signed, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs))) //nolint:gosec // bounded by maxCertificate
	signed = append(signed, tbs...)
	signed = append(signed, byte(len(s.extensions)>>8), byte(len(s.extensions))) //nolint:gosec // read from two bytes
	sum := sha256.Sum256(append(signed, s.extensions...))
	const sha2, rsaSign, ecdsaSign = 4, 1, 3
	switch key := l.public.(type) {
	case *ecdsa.PublicKey:
		return s.algorithm == [2]byte{sha2, ecdsaSign} && ecdsa.VerifyASN1(key, sum[:], s.signature)
	case *rsa.PublicKey:
		return s.algorithm == [2]byte{sha2, rsaSign} && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], s.signature) == nil
	}
	return false
}

// readSCTs reads the list in the certificate's extension; ok is false where there is none.
func readSCTs(c *x509.Certificate) (out []sct, ok bool) {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidSCTs) {
			continue
		}
		var encoded []byte
		if rest, err := asn1.Unmarshal(e.Value, &encoded); err != nil || len(rest) != 0 {
			return nil, false
		}
		list, rest, ok := vector(encoded)
		if !ok || len(rest) != 0 {
			return nil, false
		}
		for len(list) > 0 {
			var one []byte
			if one, list, ok = vector(list); !ok || len(out) == maxSCTs {
				return nil, false
			}
			if s, ok := readSCT(one); ok {
				out = append(out, s)
			} else if len(one) == 0 || one[0] == 0 {
				return nil, false // of a later version it may be anything
			}
		}
	}
	return out, len(out) > 0
}

func readSCT(b []byte) (s sct, ok bool) {
	const header = 1 + sha256.Size + 8
	if len(b) < header || b[0] != 0 {
		return s, false
	}
	s.logID, s.millis = string(b[1:1+sha256.Size]), binary.BigEndian.Uint64(b[1+sha256.Size:header])
	const latest = 253402300799999 // the year 9999
	if s.millis > latest {
		return s, false
	}
	s.at = time.UnixMilli(int64(s.millis)).UTC() //nolint:gosec // bounded above
	rest := b[header:]
	if s.extensions, rest, ok = vector(rest); !ok || len(rest) < 2 {
		return s, false
	}
	s.algorithm = [2]byte(rest)
	s.signature, rest, ok = vector(rest[2:])
	return s, ok && len(rest) == 0
}

// vector reads an opaque vector behind its length in two bytes.
func vector(b []byte) (content, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; len(b) < n {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// withoutSCTs is the to-be-signed part of a certificate as its CT log saw it; every
// other byte of it stays. It is nil where the part cannot be read.
func withoutSCTs(tbs []byte) []byte {
	fields, ok := sequence(tbs)
	if !ok {
		return nil
	}
	var content []byte
	for _, f := range fields {
		if f.Class == asn1.ClassContextSpecific && f.Tag == 3 && f.IsCompound {
			if f.FullBytes = extensionsWithoutSCTs(f); f.FullBytes == nil {
				return nil
			}
		}
		content = append(content, f.FullBytes...)
	}
	return wrapped(asn1.ClassUniversal, asn1.TagSequence, content)
}

func extensionsWithoutSCTs(field asn1.RawValue) []byte {
	extensions, ok := sequence(field.Bytes)
	if !ok {
		return nil
	}
	var content []byte
	for _, e := range extensions {
		var parsed pkix.Extension
		if rest, err := asn1.Unmarshal(e.FullBytes, &parsed); err != nil || len(rest) != 0 {
			return nil
		}
		if !parsed.Id.Equal(oidSCTs) {
			content = append(content, e.FullBytes...)
		}
	}
	return wrapped(asn1.ClassContextSpecific, 3, wrapped(asn1.ClassUniversal, asn1.TagSequence, content))
}

func sequence(der []byte) (out []asn1.RawValue, ok bool) {
	rest, err := asn1.Unmarshal(der, &out)
	return out, err == nil && len(rest) == 0
}

func wrapped(class, tag int, content []byte) []byte {
	der, err := asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: content})
	if err != nil {
		return nil
	}
	return der
}
