package evidence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/sigstore"
)

// KeyKind is what trust material is.
type KeyKind string

// The kinds of trust material.
const (
	PublicKey       KeyKind = "public-key"
	CertificateRoot KeyKind = "certificate-root"
	TrustedRoot     KeyKind = "trusted-root"
	// SigningAuthority is a root as well, of a service that signs for others and
	// vouches for the time (Notary Project, signing-scheme.md). It verifies nothing
	// but what such a service signed, and no other key verifies that.
	SigningAuthority KeyKind = "signing-authority"
)

const (
	maxPEM   = 16 << 10
	maxChain = 4
)

// Key is trust material as an organisation registered it: a public key, the
// root (and up to three intermediates) that its signing certificates come
// from, or a trusted root of Sigstore, which members may share. Outside NotBefore
// and NotAfter it verifies nothing; zero is unbounded.
type Key struct {
	MSP       string    `json:"msp"`
	Name      string    `json:"name"`
	Kind      KeyKind   `json:"kind"`
	PEM       string    `json:"pem"`
	Root      string    `json:"root,omitempty"` // of a TrustedRoot, which has no PEM: its canonical JSON
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
}

// ParseKey reads trust material. A public key is one PKIX PEM block with an
// ECDSA P-256 or P-384, Ed25519 or RSA (2048 to 8192 bits) key. A certificate
// root is 1 to 4 certificates of authorities (where none is self-signed, each of
// them is trusted as it stands) or one self-signed code-signing certificate,
// which stands for itself. A trusted root is a trusted_root.json, of which the key
// keeps the canonical form (package sigstore). Anything else is Invalid.
func ParseKey(name, kind, text string) (Key, error) {
	k := Key{Name: name, Kind: KeyKind(kind), PEM: text}
	if k.Kind == TrustedRoot {
		root, err := sigstore.ParseTrustedRoot([]byte(text))
		if err != nil {
			return Key{}, err
		}
		k.PEM, k.Root = "", string(root.Canonical())
	}
	if !customName.MatchString(name) {
		return Key{}, invalid("key name %q: want at most 63 lower-case letters, digits and '-'", clip(name))
	}
	if _, err := k.Parse(); err != nil {
		return Key{}, err
	}
	return k, nil
}

// ParsedKey is a Key whose text was read: verifying with it reads it no more.
type ParsedKey struct {
	Key
	fingerprint string
	public      crypto.PublicKey    // of a PublicKey
	trusted     []*x509.Certificate // of a CertificateRoot or SigningAuthority
	root        *sigstore.TrustedRoot
}

// Parse reads the key's text; what it refuses is Invalid, as in ParseKey.
func (k Key) Parse() (*ParsedKey, error) {
	parsed := &ParsedKey{Key: k, fingerprint: k.Fingerprint()}
	var err error
	switch k.Kind {
	case PublicKey:
		parsed.public, err = k.readPublic()
	case CertificateRoot, SigningAuthority:
		parsed.trusted, err = k.readCertificates()
	case TrustedRoot:
		parsed.root, err = sigstore.ParseTrustedRoot([]byte(k.Root))
	default:
		err = invalid("key kind %q: want %s, %s, %s or %s", clip(string(k.Kind)), PublicKey, CertificateRoot, SigningAuthority, TrustedRoot)
	}
	if err != nil {
		return nil, err
	}
	return parsed, nil
}

// Fingerprint returns the hex sha256 of the key's DER: of the public key's
// SubjectPublicKeyInfo, or of the last certificate, which is the root; of a trusted
// root, that of its canonical form. It is "" for material that ParseKey refuses.
func (k Key) Fingerprint() string {
	if k.Kind == TrustedRoot {
		return hash([]byte(k.Root))
	}
	blocks, err := pemBlocks(k.PEM, k.blockType(), maxChain)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(blocks[len(blocks)-1])
	return hex.EncodeToString(sum[:])
}

func (k Key) blockType() string {
	if k.Kind == PublicKey {
		return "PUBLIC KEY"
	}
	return "CERTIFICATE"
}

// pemBlocks returns the DER of 1 to most PEM blocks of one type. Text between or
// around them, headers and other blocks are refused: two readers might pick
// different keys out of them. The text is never repeated in an error, for it
// may be a private key.
func pemBlocks(text, blockType string, most int) ([][]byte, error) {
	if len(text) > maxPEM {
		return nil, invalid("PEM of %d bytes: at most %d", len(text), maxPEM)
	}
	var out [][]byte
	for rest := strings.TrimSpace(text); rest != ""; {
		if !strings.HasPrefix(rest, "-----BEGIN ") {
			return nil, invalid("PEM: text that is no block; want %s", blockType)
		}
		block, after := pem.Decode([]byte(rest))
		// pem.Decode skips what it cannot read: one BEGIN per block proves it did not.
		if block == nil || strings.Count(rest[:len(rest)-len(after)], "-----BEGIN ") != 1 {
			return nil, invalid("PEM: damaged block")
		}
		if block.Type != blockType || len(block.Headers) != 0 {
			return nil, invalid("PEM: block %q: want %s without headers", clip(block.Type), blockType)
		}
		if len(out) == most {
			return nil, invalid("PEM: more than %d blocks", most)
		}
		out = append(out, block.Bytes)
		rest = strings.TrimSpace(string(after))
	}
	if len(out) == 0 {
		return nil, invalid("PEM: empty; want %s", blockType)
	}
	return out, nil
}

func (k Key) readPublic() (crypto.PublicKey, error) {
	der, err := pemBlocks(k.PEM, "PUBLIC KEY", 1)
	if err != nil {
		return nil, err
	}
	pub, err := x509.ParsePKIXPublicKey(der[0])
	if err != nil {
		return nil, invalid("public key: %v", err)
	}
	return pub, sigstore.CheckPublicKey(pub)
}

// inForce tells whether the key may verify anything at now.
func (k Key) inForce(now time.Time) error {
	if !k.NotBefore.IsZero() && now.Before(k.NotBefore) {
		return invalid("key %q of %s is valid from %s", k.Name, k.MSP, k.NotBefore.UTC().Format(time.RFC3339))
	}
	if !k.NotAfter.IsZero() && now.After(k.NotAfter) {
		return invalid("key %q of %s was valid until %s", k.Name, k.MSP, k.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// verifies tells whether sig is pub's signature over message, made as Sigstore
// tools do: ECDSA in ASN.1 over SHA-256 (P-384 keys: SHA-384 or SHA-256, for
// cosign's key files have used both), RSA PKCS#1 v1.5 over SHA-256, Ed25519 in
// its plain or its prehashed form (RFC 8032; cosign sign uses the latter).
// Forms of one key do not cross: each binds the bytes on its own.
func verifies(pub crypto.PublicKey, signed message, sig []byte) bool {
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		return p.Curve == elliptic.P384() && ecdsa.VerifyASN1(p, signed.sha384(), sig) || ecdsa.VerifyASN1(p, signed.sha256(), sig)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(p, crypto.SHA256, signed.sha256(), sig) == nil
	case ed25519.PublicKey:
		return len(sig) == ed25519.SignatureSize && (ed25519.Verify(p, signed.bytes, sig) ||
			ed25519.VerifyWithOptions(p, signed.sha512(), sig, &ed25519.Options{Hash: crypto.SHA512}) == nil)
	}
	return false
}

// verifiesDigest is verifies for a message of which only the hash is known.
// Ed25519 works only in its prehashed form, over SHA-512.
func verifiesDigest(pub crypto.PublicKey, alg string, digest, sig []byte) bool {
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		return alg == "sha256" && ecdsa.VerifyASN1(p, digest, sig)
	case *rsa.PublicKey:
		return alg == "sha256" && rsa.VerifyPKCS1v15(p, crypto.SHA256, digest, sig) == nil
	case ed25519.PublicKey:
		return alg == "sha512" && len(sig) == ed25519.SignatureSize &&
			ed25519.VerifyWithOptions(p, digest, sig, &ed25519.Options{Hash: crypto.SHA512}) == nil
	}
	return false
}
