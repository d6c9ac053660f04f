package intake

import (
	"crypto/rsa"
	"encoding/json"
	"math"

	"github.com/go-jose/go-jose/v4"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	maxKeySet  = 256 << 10
	minModulus = 2048 // bits; package jose takes 4096 at most
)

// readKeys reads the RSA signing keys of a JWKS document (RFC 7517, RFC 7518
// section 6.3). Keys of other kinds are passed over; a key set without one
// that we can use is Invalid, and so is an RSA key too weak to believe.
func readKeys(document []byte) (map[string]*rsa.PublicKey, error) {
	if len(document) > maxKeySet {
		return nil, provenance.Errorf(provenance.Invalid, "key set of %d bytes: at most %d", len(document), maxKeySet)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	const want = `{"keys":[…]}, a JWKS document`
	if err := decodeStrict(document, &set, want); err != nil {
		return nil, within("key set", err)
	}
	keys := map[string]*rsa.PublicKey{}
	for _, raw := range set.Keys {
		var kind struct {
			Kty string `json:"kty"`
			Use string `json:"use"`
			Alg string `json:"alg"`
			Kid string `json:"kid"`
		}
		if err := decodeChecked(raw, &kind, want); err != nil {
			return nil, within("key set", err)
		}
		if kind.Kty != "RSA" || kind.Kid == "" || (kind.Use != "" && kind.Use != "sig") || (kind.Alg != "" && kind.Alg != string(jose.RS256)) {
			continue
		}
		key, err := readKey(raw)
		if err != nil {
			return nil, provenance.Errorf(provenance.Invalid, "key set: key %q: %s", clipText(kind.Kid), textOf(err))
		}
		if keys[kind.Kid] != nil {
			return nil, provenance.Errorf(provenance.Invalid, "key set: key %q stands in it twice", clipText(kind.Kid))
		}
		keys[kind.Kid] = key
	}
	if len(keys) == 0 {
		return nil, provenance.Errorf(provenance.Invalid, "key set holds no RSA key for RS256 signatures")
	}
	return keys, nil
}

func readKey(raw []byte) (*rsa.PublicKey, error) {
	var read jose.JSONWebKey
	if err := read.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	key, public := read.Key.(*rsa.PublicKey)
	if !public {
		return nil, provenance.Errorf(provenance.Invalid, "is a private key: whoever can read the file can forge tokens")
	}
	if bits := key.N.BitLen(); bits < minModulus || key.E < 3 || key.E > math.MaxInt32 || key.E%2 == 0 {
		return nil, provenance.Errorf(provenance.Invalid, "%d bits and exponent %d; want %d bits or more and an odd exponent", bits, key.E, minModulus)
	}
	return key, nil
}
