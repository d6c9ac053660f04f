package contract

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// bill is a signed bill of materials about the image with that content, of so many packages.
func bill(content string, packages int) []byte {
	_, hex, _ := strings.Cut(digestOf(content).String(), ":")
	entry := `{"SPDXID":"SPDXRef-Package","name":"a package","licenseDeclared":"MIT","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/package@1.2.3"}]},`
	return []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + hex + `"}}],"predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","packages":[` +
		strings.TrimSuffix(strings.Repeat(entry, packages), ",") + `]}}`)
}

// A large envelope is verified, and nothing of it but facts and hashes is written;
// where it is private not even what it lists.
func TestLargeEvidence(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	l.pushed("v2")
	key := l.key("SecurityMSP", "sbom", "")
	for _, c := range []struct {
		content string
		private bool
		facts   string
	}{
		{"v1", false, `{"components":19000,"format":"spdx","licences":["MIT"],"packages":["pkg:npm/package@1.2.3"],"specVersion":"2.3","truncated":false}`},
		{"v2", true, `{"components":19000,"format":"spdx","specVersion":"2.3","truncated":true}`},
	} {
		envelope := signed(t, bill(c.content, 19000), key)
		if len(envelope) < 3<<20 || len(envelope) > evidence.MaxEnvelope {
			t.Fatalf("%d bytes", len(envelope))
		}
		transient := map[string][]byte{"envelope": envelope}
		if c.private {
			transient["private"] = []byte("true")
		}
		out, writes, err := l.invoke("gateway@VendorMSP", transient, "evidence:Submit", host, repo, digestOf(c.content).String(), "", "dsse", "SecurityMSP", "sbom", "")
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for k, v := range writes {
			size += len(k) + len(v)
		}
		record := read[state.Evidence](l, state.EvidenceKey(digestOf(c.content), "sbom", evidence.ID("dsse", envelope)))
		if string(record.Facts) != c.facts || record.Private != c.private || len(record.Document) != 64 || record.Signer.Kind != policy.SignedByKey || size > 2048 {
			t.Errorf("%s: %+v, %s, %d bytes written", c.content, record, out, size)
		}
		// Whoever brings it again changes nothing of that.
		again := map[string][]byte{"envelope": envelope}
		if !c.private {
			again["private"] = []byte("true")
		}
		if _, writes, err := l.invoke("scanner@SecurityMSP", again, "evidence:Submit", host, repo, digestOf(c.content).String(), "", "dsse", "SecurityMSP", "sbom", ""); err != nil || len(writes) > 0 {
			t.Errorf("again: %d writes, %v", len(writes), err)
		}
	}
}

// What is no bill of materials and no scan decides by what it names.
func TestPrivateRefused(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	key := l.key("SecurityMSP", "sbom", "")
	transient := map[string][]byte{"envelope": signed(t, bill("v1", 1), key), "private": []byte("true")}
	_, writes, err := l.invoke("scanner@PlatformMSP", transient, "evidence:Submit", host, repo, digestOf("v1").String(), "", "dsse", "SecurityMSP", "sbom", "")
	if provenance.CodeOf(err) != provenance.Forbidden || !strings.Contains(err.Error(), "keep private") || len(writes) > 0 {
		t.Errorf("by another organisation: %v", err)
	}
	for private, c := range map[string]struct {
		typ, facts string
		code       provenance.Code
	}{
		"true": {"test-result", tested("PASSED"), provenance.BadEvidence}, "yes": {"vuln-scan", scanned(0), provenance.Invalid}, "": {"vuln-scan", scanned(0), provenance.Invalid},
	} {
		_, writes, err := l.invoke("scanner@SecurityMSP", map[string][]byte{"envelope": stated("v1", c.typ, c.facts, ""), "private": []byte(private)},
			"evidence:Submit", host, repo, digestOf("v1").String(), "", "plain", "", "", "")
		if provenance.CodeOf(err) != c.code || len(writes) > 0 {
			t.Errorf("%q: %v, %d writes", private, err, len(writes))
		}
	}
}
