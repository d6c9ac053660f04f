package evidence

import (
	"bytes"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// FuzzVEXOfTheImage: whatever the format, nothing is said of an image that the
// document does not name by its digest, twice the same is said, and statements are
// about something.
func FuzzVEXOfTheImage(f *testing.F) {
	seeds(f, "documents/*.vex.json")
	ones := strings.Repeat("1", 64)
	subject := digest(f, "sha256:"+ones)
	f.Fuzz(func(t *testing.T, document []byte) {
		r := Request{Subject: subject, Format: FormatPlain, Type: TypeVEX, Envelope: document, Now: now}
		result, err := Verify(r, nil)
		again, errAgain := Verify(r, nil)
		if (err == nil) != (errAgain == nil) || string(result.Facts) != string(again.Facts) || err != nil && err.Error() != errAgain.Error() {
			t.Fatalf("twice: %v, %v\n%s\n%s", err, errAgain, result.Facts, again.Facts)
		}
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatal(err)
			}
			return
		}
		checkResult(t, result)
		if !bytes.Contains(document, []byte(ones)) && !bytes.Contains(document, []byte(`\u`)) && !bytes.Contains(document, []byte("%31")) {
			t.Fatalf("accepted without naming the image: %s", document)
		}
		if strings.Contains(string(result.Facts), `"subcomponents":[]`) {
			t.Fatalf("of no part, which reads as the whole: %s", result.Facts)
		}
	})
}

// FuzzScans: a report that is accepted says what scanned, counts each finding once,
// and is the same each time.
func FuzzScans(f *testing.F) {
	seeds(f, "documents/*.vuln-scan.json")
	seeds(f, "named/*.json")
	f.Fuzz(func(t *testing.T, document []byte) {
		facts, _, _, err := Extract(TypeScan, document, 1<<20)
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatal(err)
			}
			return
		}
		sum := int64(0)
		for _, s := range severities {
			n, _ := facts[s].(int64)
			sum += n
		}
		if total, _ := facts["total"].(int64); total != sum {
			t.Fatalf("%d findings of %d", sum, total)
		}
		if bytes.Contains(document, []byte(`"scan"`)) && bytes.Contains(document, []byte(`"version"`)) && str(facts, "scanner") == "" && sum == 0 && bytes.Contains(document, []byte("container_scanning")) {
			t.Fatalf("clean by nobody: %v", facts)
		}
	})
}
