package intake

import (
	"crypto/rsa"
	"encoding/base64"
	"math/big"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	maxKeySet  = 256 << 10
	minModulus = 2048 // bits
	maxModulus = 8192 // a larger one would make each token dear to check
)

// readKeys reads the RSA signing keys of a JWKS document (RFC 7517, RFC 7518
// section 6.3). Keys of other kinds are passed over; a key set without one
// that we can use is Invalid, and so is an RSA key too weak to believe.
func readKeys(document []byte) (map[string]*rsa.PublicKey, error) {
	if len(document) > maxKeySet {
		return nil, provenance.Errorf(provenance.Invalid, "key set of %d bytes: at most %d", len(document), maxKeySet)
	}
	var set struct {
		Keys []struct {
			Kty string `json:"kty"`
			Use string `json:"use"`
			Alg string `json:"alg"`
			Kid string `json:"kid"`
			N   string `json:"n"`
			E   string `json:"e"`
		} `json:"keys"`
	}
	if err := decode(document, &set, `{"keys":[…]}, a JWKS document`); err != nil {
		return nil, within("key set", err)
	}
	keys := map[string]*rsa.PublicKey{}
	for _, k := range set.Keys {
		if k.Kty != "RSA" || k.Kid == "" || (k.Use != "" && k.Use != "sig") || (k.Alg != "" && k.Alg != "RS256") {
			continue
		}
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		if err != nil {
			return nil, provenance.Errorf(provenance.Invalid, "key set: key %q: modulus is not base64url", clipText(k.Kid))
		}
		e, err := base64.RawURLEncoding.DecodeString(k.E)
		if err != nil || len(e) == 0 || len(e) > 4 {
			return nil, provenance.Errorf(provenance.Invalid, "key set: key %q: exponent is not base64url of 1 to 4 bytes", clipText(k.Kid))
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		if bits := key.N.BitLen(); bits < minModulus || bits > maxModulus || key.E < 3 || key.E%2 == 0 {
			return nil, provenance.Errorf(provenance.Invalid, "key set: key %q: %d bits and exponent %d; want %d to %d bits and an odd exponent",
				clipText(k.Kid), bits, key.E, minModulus, maxModulus)
		}
		if keys[k.Kid] != nil {
			return nil, provenance.Errorf(provenance.Invalid, "key set: key %q stands in it twice", clipText(k.Kid))
		}
		keys[k.Kid] = key
	}
	if len(keys) == 0 {
		return nil, provenance.Errorf(provenance.Invalid, "key set holds no RSA key for RS256 signatures")
	}
	return keys, nil
}
