package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
)

const (
	minRSABits = 2048
	maxRSABits = 8192 // verifying with larger ones only costs time
)

// CheckPublicKey refuses keys that are weak or that not every reader knows: what is left
// is ECDSA over P-256 or P-384, Ed25519, and RSA of 2048 to 8192 bits.
func CheckPublicKey(public crypto.PublicKey) error {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if p.Curve == elliptic.P256() || p.Curve == elliptic.P384() {
			return nil
		}
		return invalid("public key: ECDSA over %s: want P-256 or P-384", p.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return invalid("public key: RSA of %d bits: want %d to %d", bits, minRSABits, maxRSABits)
		}
		if p.E < 3 || p.E&1 == 0 {
			return invalid("public key: RSA exponent %d", p.E)
		}
		return nil
	}
	return invalid("public key: %T: want ECDSA, Ed25519 or RSA", public)
}

// parseLogKey reads the key of a log, and returns it with its SubjectPublicKeyInfo; nil
// where it is not of the kind that is said. Source: sigstore/protobuf-specs, PublicKeyDetails.
func parseLogKey(details string, der []byte) (spki []byte, public crypto.PublicKey) {
	if details == "PKCS1_RSA_PKCS1V5" {
		key, err := x509.ParsePKCS1PublicKey(der)
		if err != nil || CheckPublicKey(key) != nil {
			return nil, nil
		}
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, nil
		}
		return spki, key
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil || CheckPublicKey(public) != nil {
		return nil, nil
	}
	fits := false
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		fits = details == ecdsaDetails(key)
	case ed25519.PublicKey:
		fits = details == "PKIX_ED25519"
	case *rsa.PublicKey:
		fits = details == "PKIX_RSA_PKCS1V15_2048_SHA256" || details == "PKIX_RSA_PKCS1V15_3072_SHA256" || details == "PKIX_RSA_PKCS1V15_4096_SHA256"
	}
	if !fits {
		return nil, nil
	}
	return der, public
}

func ecdsaDetails(key *ecdsa.PublicKey) string {
	if key.Curve == elliptic.P384() {
		return "PKIX_ECDSA_P384_SHA_384"
	}
	return "PKIX_ECDSA_P256_SHA_256"
}

// hashing is a hash and its names: in Rekor v1, v2 and a message digest.
type hashing struct {
	v1, v2 string
	sum    func([]byte) []byte
}

func hashings() []hashing {
	return []hashing{
		{"sha256", "SHA2_256", func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }},
		{"sha384", "SHA2_384", func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }},
		{"sha512", "SHA2_512", func(b []byte) []byte { s := sha512.Sum512(b); return s[:] }},
	}
}

// hashFor is the hash that belongs to an ECDSA key: SHA-256, and with its own, that of
// the size of its curve.
func hashFor(key *ecdsa.PublicKey, own bool) hashing {
	if own && key.Curve == elliptic.P384() {
		return hashings()[1]
	}
	return hashings()[0]
}
