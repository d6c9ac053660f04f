package evidence

import "github.com/waybill-dev/waybill/chaincode/sigstore"

// checkKeyless tells whether the signature is by a certificate below a trusted root, on
// the word of its logs and timestamp authorities.
func (s signature) checkKeyless(k *ParsedKey, r Request) (signatory, error) {
	if s.material == nil {
		return signatory{}, invalid("%q is a trusted root of Sigstore, which vouches for no signature of format %s", k.Name, r.Format)
	}
	m, err := s.material()
	if err != nil {
		return signatory{}, err
	}
	m.Signature, m.Verifies, m.Certificate = s.bytes, s.verifies, s.certs[0].Raw
	v, err := k.root.Verify(m, r.Now)
	if err != nil {
		return signatory{}, err
	}
	return signatory{public: s.certs[0].PublicKey, identity: v.Identity, issuer: v.Issuer, claims: v.Claims, uses: v.Uses}, nil
}

// annotations reads the members of an envelope that are a layer's annotations: the proofs
// that came with a signature.
func annotations(m map[string]any) (sigstore.Material, error) {
	return sigstore.Annotations(str(m, "bundle"), str(m, "rfc3161timestamp"))
}
