package collect

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Whoever may push says what stands in annotations and in a blob. What comes out of both is
// the envelope as it was signed, or nothing that anybody reads: never another payload,
// another signature, or one member twice.
func TestHostileAnnotations(t *testing.T) {
	key, subject := newSigningKey(t), provenance.SHA256Of([]byte("image"))
	signed := string(key.dsse(t, subject, "https://in-toto.io/attestation/test-result/v0.1", `{"result":"PASSED"}`))
	evil := string(newSigningKey(t).dsse(t, subject, "https://in-toto.io/attestation/test-result/v0.1", `{"result":"FAILED"}`))
	trusted, err := evidence.ParseKey("release", string(evidence.PublicKey), key.pem)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		blob string
		ok   bool
	}{
		"as it was signed": {signed, true}, "with space around": {" \n" + signed + "\t\n", true}, "with a certificate in it": {strings.Replace(signed, "{", `{"certificate":"x",`, 1), false},
		"with it in capitals": {strings.Replace(signed, "{", `{"Bundle":"x",`, 1), false}, "one brace more": {signed + "}", false}, "one brace less": {strings.TrimSuffix(signed, "}"), false},
		"two envelopes": {signed + signed, false}, "another one behind it": {signed + "\n" + evil, false}, "a list": {"[" + signed + "]", false}, "a list that opens": {"[" + signed, false},
		"a text": {`"}`, false}, "nothing in it": {"{}", false}, "a member that stays open": {strings.TrimSuffix(signed, "}") + `,"x":"}`, false},
		"an object that stays open": {strings.TrimSuffix(signed, "}") + `,"x":{}`, false},
	} {
		for name, hostile := range map[string]string{
			"a quote": `","payload":"AAAA","signatures":[],"x":"`, "a brace": `"}` + evil, "a line end": "a\nb\r\n", "NUL": "a\x00b", "no UTF-8": "\xff\xfe", "a separator": "\u2028\u2029",
			"an escape": `\u0022,\"payload\":\"AAAA\"`, "long": strings.Repeat("A", 64<<10),
		} {
			got, err := dsseEnvelope([]byte(c.blob), map[string]string{cosignCertificate: hostile, cosignChain: hostile, cosignBundle: hostile, cosignTimestamp: hostile})
			if err != nil {
				t.Fatal(err)
			}
			result, err := evidence.Verify(evidence.Request{Subject: subject, Format: evidence.FormatDSSE, Envelope: got}, &trusted)
			if ok := c.ok && name != "NUL"; (err == nil) != ok || err == nil && !strings.Contains(string(result.Facts), `"result":"PASSED"`) {
				t.Errorf("%s, %s: %v %s", what, name, err, result.Facts)
			}
			sig, err := cosignEnvelope([]byte("payload"), map[string]string{cosignSignature: "AAAA", cosignCertificate: hostile, cosignBundle: hostile})
			var read struct {
				Payload   []byte
				Signature string
			}
			if err != nil || json.Unmarshal(sig, &read) != nil || string(read.Payload) != "payload" || read.Signature != "AAAA" {
				t.Errorf("%s: %v %+v", name, err, read)
			}
		}
	}
}
