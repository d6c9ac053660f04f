package evidence

import (
	"path/filepath"
	"testing"
)

// BenchmarkVerify is what one piece of evidence costs an endorsing peer.
func BenchmarkVerify(b *testing.B) {
	for _, file := range []string{"cosign/sign.cosign.json", "cosign/vuln.bundle.json", "cosign/ed.bundle.json", "notation/sign.notation.json"} {
		b.Run(filepath.Base(file), func(b *testing.B) {
			tool := filepath.Dir(file)
			pem := "key.pub"
			if filepath.Base(file) == "ed.bundle.json" {
				pem = "ed.pub"
			}
			k, err := ParseKey("release", string(PublicKey), string(read(b, tool, pem)))
			if err != nil {
				b.Fatal(err)
			}
			r := Request{
				Subject: digest(b, string(read(b, tool, "subject"))), Format: formatOf(file),
				Envelope: read(b, filepath.FromSlash(file)), Now: now,
			}
			for b.Loop() {
				if _, err := Verify(r, &k); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkVerifyLarge is what the largest bill of materials costs.
func BenchmarkVerifyLarge(b *testing.B) {
	signer := newECDSA(b)
	k := publicKey(b, signer)
	r := wrapped(b, signer, spdxOf(9000, largest))
	b.SetBytes(int64(len(r.Envelope)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Verify(r, &k); err != nil {
			b.Fatal(err)
		}
	}
}
