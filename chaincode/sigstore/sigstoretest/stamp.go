package sigstoretest

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"
)

// What a timestamp is made of: RFC 3161 and RFC 5652.
type (
	algorithm = pkix.AlgorithmIdentifier

	imprint struct {
		Hash  algorithm
		Value []byte
	}
	tstInfo struct {
		Version    int
		Policy     asn1.ObjectIdentifier
		Imprint    imprint
		Serial     *big.Int
		GenTime    time.Time        `asn1:"generalized"`
		Extensions []pkix.Extension `asn1:"optional,omitempty,tag:1"`
	}
	attribute struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
	issuerAndSerial struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	// RFC 5816 names the signer's certificate in what is signed.
	essCertID struct {
		Hash   []byte
		Issuer issuerSerial
	}
	issuerSerial struct {
		Names  []asn1.RawValue
		Serial *big.Int
	}
	signerInfo struct {
		Version            int
		SID                issuerAndSerial
		DigestAlgorithm    algorithm
		SignedAttributes   asn1.RawValue
		SignatureAlgorithm algorithm
		Signature          []byte
	}
	encapsulated struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"explicit,tag:0"`
	}
	signedData struct {
		Version      int
		Digests      []algorithm `asn1:"set"`
		Content      encapsulated
		Certificates asn1.RawValue `asn1:"optional"`
		Signers      []signerInfo  `asn1:"set"`
	}
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content signedData `asn1:"explicit,tag:0"`
	}
	statusInfo struct{ Status int }
	response   struct {
		Status statusInfo
		Token  contentInfo
	}
)

// Stamp is how a timestamp is made; its zero value makes a good one.
type Stamp struct {
	Embed  []*x509.Certificate // certificates that go into it
	By     *Authority          // not the Sigstore's own
	Naming *x509.Certificate   // whose hash it names, where that is not the signer's
	Twice  bool                // its signer signs it twice
	Serial int64               // of the certificate it says is the signer's, where that is another
	Exts   []pkix.Extension    // of what is signed
}

// Timestamp signs that a signature was there at a time, and returns the response in DER.
func (s *Sigstore) Timestamp(signature []byte, at time.Time, how Stamp) []byte {
	s.t.Helper()
	by, naming := s.Stamper, how.Naming
	if how.By != nil {
		by = *how.By
	}
	if naming == nil {
		naming = by.Cert
	}
	sha := algorithm{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}
	tst := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	content := s.der(tstInfo{1, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, imprint{sha, sum(signature)}, big.NewInt(9), at.UTC(), how.Exts})
	directory := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: naming.RawIssuer}
	certID := s.der([][]essCertID{{{sum(naming.Raw), issuerSerial{[]asn1.RawValue{directory}, naming.SerialNumber}}}})
	attributes := s.set(
		attribute{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}, []asn1.RawValue{{FullBytes: s.der(tst)}}},
		attribute{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, []asn1.RawValue{{FullBytes: s.der(sum(content))}}},
		attribute{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}, []asn1.RawValue{{FullBytes: certID}}},
	)
	data := signedData{Version: 3, Digests: []algorithm{sha}, Content: encapsulated{tst, content}, Signers: []signerInfo{{
		Version: 1, SID: issuerAndSerial{asn1.RawValue{FullBytes: by.Cert.RawIssuer}, by.Cert.SerialNumber}, DigestAlgorithm: sha,
		SignedAttributes:   asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: attributes},
		SignatureAlgorithm: algorithm{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
		Signature:          Sign(s.t, by.Key, s.der(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: attributes})),
	}}}
	if how.Serial != 0 {
		data.Signers[0].SID.Serial = big.NewInt(how.Serial)
	}
	if how.Twice {
		data.Signers = append(data.Signers, data.Signers[0])
	}
	if len(how.Embed) > 0 {
		var all []byte
		for _, c := range how.Embed {
			all = append(all, c.Raw...)
		}
		data.Certificates = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: all}
	}
	return s.der(response{statusInfo{0}, contentInfo{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, data}})
}

// set is the content of a SET OF attributes, in the order that DER demands.
func (s *Sigstore) set(attributes ...attribute) []byte {
	s.t.Helper()
	der, err := asn1.MarshalWithParams(attributes, "set")
	s.check(err)
	var whole asn1.RawValue
	_, err = asn1.Unmarshal(der, &whole)
	s.check(err)
	return whole.Bytes
}

func (s *Sigstore) der(v any) []byte {
	s.t.Helper()
	der, err := asn1.Marshal(v)
	s.check(err)
	return der
}
