package contract

import (
	"encoding/json"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestNoShadowOfASharedRoot: an authority told otherwise, without its root or without its
// intermediate, vouches for the same certificates. It is in one shared root all the same.
func TestNoShadowOfASharedRoot(t *testing.T) {
	l, s := keyless(t)
	// No authority has a name either: one that is nameless is one all the same.
	with := func(cut func(chain []any) []any) []byte {
		t.Helper()
		var doc map[string]any
		if err := json.Unmarshal(s.TrustedRoot(), &doc); err != nil {
			t.Fatal(err)
		}
		for _, a := range doc["certificateAuthorities"].([]any) {
			chain := a.(map[string]any)["certChain"].(map[string]any)
			certificates := chain["certificates"].([]any)
			if len(certificates) < 2 {
				t.Fatal("an authority of one certificate shows nothing")
			}
			chain["certificates"] = cut(certificates)
			delete(a.(map[string]any), "uri")
			delete(a.(map[string]any), "subject")
		}
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, text := range map[string][]byte{
		"as it is":         s.TrustedRoot(),
		"its intermediate": with(func(chain []any) []any { return chain[:1] }),
		"its root":         with(func(chain []any) []any { return chain[len(chain)-1:] }),
	} {
		if _, _, err := l.invoke("admin@VendorMSP", nil, "proposal:Open", "trusted-root", sharedBody("shadow", text)); provenance.CodeOf(err) != provenance.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	l.share("another", l.sigstoreOf("another").TrustedRoot())
	// The root itself may say it otherwise, and once it is withdrawn another may have it.
	l.share("public", with(func(chain []any) []any { return chain[:1] }))
	l.vote(withdrawBody("public", ""))
	l.share("shadow", s.TrustedRoot())
}
