package evidence

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func parsed(t testing.TB, keys ...Key) []*ParsedKey {
	t.Helper()
	out := make([]*ParsedKey, len(keys))
	for i, k := range keys {
		var err error
		if out[i], err = k.Parse(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// hintOf is the hint that cosign writes for a key.
func hintOf(t testing.TB, k Key) string {
	t.Helper()
	sum, err := hex.DecodeString(k.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sum)
}

// signedBundle is a bundle with a statement that signer signed and a hint.
func signedBundle(t testing.TB, payload []byte, signer *ecdsa.PrivateKey, hint string) []byte {
	t.Helper()
	return toJSON(t, bundle(m{"publicKey": m{"hint": hint}}, m{"dsseEnvelope": dsseEnvelope(t, payload, signer)}))
}

func named(k Key, msp, name string) Key {
	k.MSP, k.Name = msp, name
	return k
}

// Signers finds what Verify finds key by key, whatever the envelope hints at.
func TestSignersFindsWhatVerifyFinds(t *testing.T) {
	a, b, c := newECDSA(t), newECDSA(t), newECDSA(t)
	root := newCA(t, "root", nil)
	leaf := root.leaf(t, a.Public(), template{identity: "https://ci.example/x", notBefore: now.AddDate(0, -1, 0), notAfter: now.AddDate(0, 1, 0)})
	keys := []Key{
		named(publicKey(t, c), "CMSP", "other"), named(publicKey(t, a), "AMSP", "a"), named(root.root(t), "RMSP", "root"),
		named(publicKey(t, b), "BMSP", "b"), named(publicKey(t, a), "BMSP", "the-same"),
	}
	late := named(publicKey(t, a), "LMSP", "late")
	late.NotBefore = now.AddDate(0, 0, 1)
	keys = append(keys, late)
	payload := inToto(t, "https://example.com/build-meta/v1", m{"result": "PASSED"}, m{"sha256": imageHex})
	chain := m{"x509CertificateChain": m{"certificates": []any{m{"rawBytes": b64(leaf.Raw)}, m{"rawBytes": b64(root.cert.Raw)}}}}
	for name, r := range map[string]Request{
		"no hint":             request(FormatCosign, toJSON(t, cosignEnvelope(t, a, simplePayload(image.String())))),
		"its own hint":        request(FormatBundle, signedBundle(t, payload, a, hintOf(t, keys[1]))),
		"another's hint":      request(FormatBundle, signedBundle(t, payload, a, hintOf(t, keys[0]))),
		"the root's hint":     request(FormatBundle, signedBundle(t, payload, a, hintOf(t, keys[2]))),
		"a hint that is none": request(FormatBundle, signedBundle(t, payload, a, "key one")),
		"a chain":             request(FormatBundle, toJSON(t, bundle(chain, m{"dsseEnvelope": dsseEnvelope(t, payload, a)}))),
		"two signatures":      request(FormatDSSE, toJSON(t, dsseEnvelope(t, payload, a, b))),
		"nobody's":            request(FormatCosign, toJSON(t, cosignEnvelope(t, newECDSA(t), simplePayload(image.String())))),
		"another image":       request(FormatCosign, toJSON(t, cosignEnvelope(t, a, simplePayload("sha256:"+otherHex)))),
		"no envelope":         request(FormatBundle, []byte(`{}`)),
	} {
		t.Run(name, func(t *testing.T) {
			var want []Signed
			for _, k := range keys {
				if result, err := Verify(r, &k); err == nil {
					want = append(want, Signed{k, result})
				}
			}
			got, err := Signers(r, parsed(t, keys...))
			if (err == nil) != (len(want) > 0) {
				t.Errorf("%d keys signed it, and the error is %v", len(want), err)
			}
			byName := cmpopts.SortSlices(func(x, y Signed) bool { return x.Key.MSP+"/"+x.Key.Name < y.Key.MSP+"/"+y.Key.Name })
			if diff := cmp.Diff(want, got, byName, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Verify -, Signers +:\n%s", diff)
			}
			if hint := KeyHint(r.Format, r.Envelope); len(got) > 0 && slices.ContainsFunc(got, func(s Signed) bool { return s.Key.Fingerprint() == hint }) && got[0].Key.Fingerprint() != hint {
				t.Errorf("the hinted key comes after %s", got[0].Key.Name)
			}
		})
	}
}

// A signature verifies by a second key as well, which anybody can compute and register
// and nobody can sign with: it takes nothing away from the signer.
func TestSignersOfASecondKey(t *testing.T) {
	signer := newECDSA(t)
	payload := simplePayload(image.String())
	sig := sign(t, signer, payload)
	own := named(publicKey(t, signer), "VendorMSP", "own")
	for _, second := range recovered(t, payload, sig) {
		der := publicPEMOf(t, second)
		other := named(Key{Kind: PublicKey, PEM: der}, "AMSP", "second")
		if second.Equal(signer.Public()) {
			continue
		}
		r := request(FormatCosign, toJSON(t, m{"payload": b64(payload), "signature": b64(sig)}))
		if _, err := Verify(r, &other); err != nil {
			t.Fatalf("the second key does not verify: %v", err)
		}
		got, err := Signers(r, parsed(t, other, own))
		if err != nil || !slices.ContainsFunc(got, func(s Signed) bool { return s.Key.Name == "own" }) {
			t.Errorf("the signer's own key is not found beside a second one: %+v, %v", got, err)
		}
	}
}

// recovered are the keys under which a signature verifies (SEC 1, 4.1.6).
func recovered(t *testing.T, payload, sig []byte) []*ecdsa.PublicKey {
	t.Helper()
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &pair); err != nil {
		t.Fatal(err)
	}
	curve := elliptic.P256()
	p := curve.Params()
	sum := sha256.Sum256(payload)
	square := new(big.Int).Exp(pair.R, big.NewInt(3), p.P)
	square.Sub(square, new(big.Int).Mul(big.NewInt(3), pair.R)).Add(square, p.B).Mod(square, p.P)
	y := new(big.Int).ModSqrt(square, p.P)
	inverse := new(big.Int).ModInverse(pair.R, p.N)
	var out []*ecdsa.PublicKey
	for _, y := range []*big.Int{y, new(big.Int).Sub(p.P, y)} {
		sx, sy := curve.ScalarMult(pair.R, y, pair.S.Bytes())                                                                              //nolint:staticcheck // what a key is recovered with
		zx, zy := curve.ScalarBaseMult(new(big.Int).Mod(new(big.Int).Neg(new(big.Int).SetBytes(sum[:])), p.N).FillBytes(make([]byte, 32))) //nolint:staticcheck // the same
		qx, qy := curve.Add(sx, sy, zx, zy)                                                                                                //nolint:staticcheck // the same
		qx, qy = curve.ScalarMult(qx, qy, inverse.Bytes())                                                                                 //nolint:staticcheck // the same
		key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, qx.FillBytes(make([]byte, 32)), qy.FillBytes(make([]byte, 32))))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, key)
	}
	return out
}

// A key is parsed once; what a key is not, is not kept.
func TestKeyCache(t *testing.T) {
	var c KeyCache
	k := named(publicKey(t, newECDSA(t)), "VendorMSP", "one")
	first, err := c.Parse(k)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Parse(k); err != nil || again != first {
		t.Errorf("parsed twice: %p and %p, %v", first, again, err)
	}
	if other, err := c.Parse(named(k, "AuditMSP", "one")); err != nil || other.MSP != "AuditMSP" {
		t.Errorf("another organisation's key is %+v, %v", other, err)
	}
	k.PEM = "no key"
	if _, err := c.Parse(k); err == nil {
		t.Error("a key that is none was parsed")
	}
}

// BenchmarkSigners finds the key of an envelope among 2,000. "each key" is what it
// costs to verify by one after the other.
func BenchmarkSigners(b *testing.B) {
	const n = 2000
	keys := make([]Key, n)
	signer := newECDSA(b)
	for i := range keys {
		keys[i] = named(publicKey(b, newECDSA(b)), "VendorMSP", fmt.Sprint("key-", i))
	}
	keys[n*3/4] = named(publicKey(b, signer), "VendorMSP", "signer")
	payload := inToto(b, "https://example.com/build-meta/v1", m{"result": "PASSED"}, m{"sha256": imageHex})
	hinted := request(FormatBundle, signedBundle(b, payload, signer, hintOf(b, keys[n*3/4])))
	without := request(FormatBundle, signedBundle(b, payload, signer, "unknown"))
	all := parsed(b, keys...)
	for _, c := range []struct {
		name string
		r    Request
	}{{"hinted", hinted}, {"no hint", without}} {
		b.Run(c.name+"/each key", func(b *testing.B) {
			for b.Loop() {
				for _, k := range keys {
					_, _ = Verify(c.r, &k)
				}
			}
		})
		b.Run(c.name+"/Signers", func(b *testing.B) {
			for b.Loop() {
				if got, err := Signers(c.r, all); err != nil || len(got) != 1 {
					b.Fatal(got, err)
				}
			}
		})
	}
}
