package evidence

import (
	"bytes"
	"crypto"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// largest is the payload of an envelope of MaxEnvelope bytes, but for a little.
const largest = MaxEnvelope/4*3 - 1024

// spdxOf is a bill of materials about the image of so many packages, in nearly so many
// bytes: what is left is in the packages' comments.
func spdxOf(packages, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"_type":%q,"subject":[{"name":"app","digest":{"sha256":%q}}],"predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","creationInfo":{"created":"2026-01-02T03:04:05Z","creators":["Tool: test"]},"packages":[`, statementV1, imageHex)
	entry := func(i int, fill string) string {
		return fmt.Sprintf(`{"SPDXID":"SPDXRef-Package-%06d","name":"package-%06[1]d","versionInfo":"1.2.3","downloadLocation":"NOASSERTION","licenseDeclared":"MIT","licenseConcluded":"NOASSERTION","comment":"%s","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/package-%06[1]d@1.2.3"}]},`, i, fill)
	}
	fill := strings.Repeat("x", max(0, (size-b.Len())/packages-len(entry(0, ""))))
	for i := range packages {
		b.WriteString(entry(i, fill))
	}
	b.Truncate(b.Len() - 1)
	b.WriteString(`]}}`)
	return b.Bytes()
}

// filled is a statement whose predicate is as many parts as there is room for.
func filled(part string) []byte {
	head := fmt.Sprintf(`{"_type":%q,"subject":[{"digest":{"sha256":%q}}],"predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","packages":[`, statementV1, imageHex)
	n := (largest - len(head) - 8) / (len(part) + 1)
	return []byte(head + strings.Repeat(part+",", n-1) + part + `]}}`)
}

// peakOf is the most that the heap holds beyond what it held before, while f runs.
func peakOf(f func()) int64 {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	held := func() int64 { metrics.Read(sample); return int64(sample[0].Value.Uint64()) }
	before := held()
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		look := time.NewTicker(100 * time.Microsecond)
		defer look.Stop()
		for most := int64(0); ; {
			most = max(most, held()-before)
			select {
			case <-stop:
				peak <- most
				return
			case <-look.C:
			}
		}
	}()
	f()
	close(stop)
	return <-peak
}

// maxBlowUp is how many times its own size an envelope may take while it is verified.
const maxBlowUp = 16

// What the largest envelopes cost that somebody makes to hurt who verifies them.
func TestLargeEnvelopesAreBounded(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	names := func(format string) []byte {
		var b bytes.Buffer
		for i := 0; b.Len() < largest-1024; i++ {
			fmt.Fprintf(&b, format+",", i)
		}
		return filledWith("{" + b.String() + `"":0}`)
	}
	payloads := map[string][]byte{
		"honest, 9,000 packages":  spdxOf(9000, largest),
		"honest, 150 packages":    spdxOf(150, largest),
		"one text":                filledWith(`"` + strings.Repeat("a", largest-600) + `"`),
		"one text of escapes":     filledWith(`"` + strings.Repeat(`\u0041`, (largest-600)/6) + `"`),
		"nested lists":            filledWith(strings.Repeat("[", largest/2-600) + strings.Repeat("]", largest/2-600)),
		"a million zeros":         filled("0"),
		"a million empty lists":   filled("[]"),
		"a million empty objects": filled("{}"),
		"objects of one member":   filled(`{"":0}`),
		"objects of two members":  filled(`{"":0,"a":0}`),
		"lists of one object":     filled(`[{"":[0]}]`),
		"objects at full depth":   filled(strings.Repeat(`{"":`, 60) + "0" + strings.Repeat("}", 60)),
		"packages of one purl":    filled(`{"externalRefs":[{"referenceType":"purl","referenceLocator":"a"}]}`),
		"large integers":          filled("9007199254740991"),
		"fractions":               filled("1.5"),
		"short texts":             filled(`"aaaaaaaaa"`),
		"names in one object":     names(`"%x":0`),
		"long names":              names(`"` + strings.Repeat("a", 900) + `%x":0`),
		"names beyond ASCII":      names(`"\u00e9%x":0`),
		"the same name again":     filledWith("{" + strings.Repeat(`"a":0,`, largest/6-200) + `"b":0}`),
	}
	short := []string{"honest, 9,000 packages", "one text of escapes", "nested lists", "objects at full depth", "names in one object"} // the dearest of their kinds
	for name, payload := range payloads {
		if testing.Short() && !slices.Contains(short, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			r := wrapped(t, signer, payload)
			if len(r.Envelope) > MaxEnvelope || len(r.Envelope) < MaxEnvelope*9/10 {
				t.Fatalf("the envelope is of %d bytes", len(r.Envelope))
			}
			var err error
			start := time.Now()
			peak := peakOf(func() { _, err = Verify(r, &k) })
			took := time.Since(start)
			if strings.HasPrefix(name, "honest") && err != nil || err != nil && (provenance.CodeOf(err) != provenance.Invalid || len(err.Error()) > 512) {
				t.Errorf("%v", err)
			}
			t.Logf("%.1f times its size, %s: %v", float64(peak)/MaxEnvelope, took.Round(time.Millisecond), err)
			if peak > maxBlowUp*MaxEnvelope {
				t.Errorf("the envelope takes %d MiB, %.1f times its size", peak>>20, float64(peak)/MaxEnvelope)
			}
		})
	}
}

// filledWith is a statement whose predicate's packages are one value.
func filledWith(value string) []byte {
	return fmt.Appendf(nil, `{"_type":%q,"subject":[{"digest":{"sha256":%q}}],"predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","packages":%s}}`, statementV1, imageHex, value)
}

// wrapped is a signed envelope around a payload; its bytes are its own base64 and little more.
func wrapped(t testing.TB, signer crypto.Signer, payload []byte) Request {
	return Request{Subject: digest(t, "sha256:"+imageHex), Format: FormatDSSE, Envelope: toJSON(t, dsseEnvelope(t, payload, signer)), Now: now}
}

// Of a large document the envelope is read whole, and nothing of what it holds before a
// signature over it verified.
func TestLargeEnvelopes(t *testing.T) {
	signer := newECDSA(t)
	k, other := publicKey(t, signer), publicKey(t, newECDSA(t))
	facts := func(payload []byte) m {
		t.Helper()
		result := accepted(t, wrapped(t, signer, payload), &k)
		if result.Type != TypeSBOM || result.Document != hash(payload) {
			t.Errorf("%s, document %s", result.Type, result.Document)
		}
		var facts m
		if err := json.Unmarshal(result.Facts, &facts); err != nil {
			t.Fatal(err)
		}
		return facts
	}
	whole := facts(spdxOf(150, largest))
	if whole["components"] != 150.0 || whole["truncated"] != false || len(list(whole, "packages")) != 150 || len(list(whole, "licences")) != 1 {
		t.Errorf("of 150 packages: %v", whole)
	}
	part := facts(spdxOf(9000, largest))
	if part["components"] != 9000.0 || part["truncated"] != true || has(part, "packages") || len(list(part, "licences")) != 1 {
		t.Errorf("of 9,000 packages: %v", part)
	}
	// Below MaxSmall everything is as it was.
	if small := facts(spdxOf(120, MaxSmall)); len(list(small, "packages")) != 120 {
		t.Errorf("of 120 packages: %v", small)
	}

	r := wrapped(t, signer, spdxOf(150, largest))
	refused(t, r, &other, "not by")
	r.Envelope = append(r.Envelope, make([]byte, MaxEnvelope+1-len(r.Envelope))...)
	refused(t, r, &k, "want 1 to 4194304")
	rubbish := wrapped(t, signer, bytes.Repeat([]byte("["), largest))
	peak := peakOf(func() { refused(t, rubbish, &other, "not by") })
	if peak > 6*MaxEnvelope {
		t.Errorf("%d MiB of what nobody signed", peak>>20)
	}
	for _, f := range []Format{FormatCosign, FormatNotation, FormatPlain} {
		r := Request{Subject: r.Subject, Format: f, Envelope: make([]byte, MaxSmall+1), Now: now}
		key := &k
		if f == FormatPlain {
			key = nil
		}
		refused(t, r, key, "want 1 to 65536")
	}
	bundled := toJSON(t, bundle(m{"publicKey": m{"hint": ""}}, m{"dsseEnvelope": dsseEnvelope(t, spdxOf(150, largest), signer)}))
	accepted(t, Request{Subject: r.Subject, Format: FormatBundle, Envelope: bundled, Now: now}, &k)
}

// What is around a document stays as small as it was.
func TestLargeEnvelopesAround(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	payload := b64(inToto(t, "https://example.com/meta/v1", m{"tier": 1}, m{"sha256": imageHex}))
	around := func(more string) Request {
		return Request{Subject: digest(t, "sha256:"+imageHex), Format: FormatDSSE, Now: now, Envelope: fmt.Appendf(nil,
			`{"payloadType":%q,"payload":%q,%s"signatures":[{"sig":"AAAA"}]}`, inTotoPayload, payload, more)}
	}
	for name, c := range map[string]struct{ more, want string }{
		"a million values": {`"x":[` + strings.Repeat("0,", 1_000_000) + `0],`, "more than 32769 values"},
		"nested":           {`"x":` + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000) + `,`, "nested deeper"},
		"twice":            {`"payload":"` + strings.Repeat("A", 3_000_000) + `",`, "again"},
		"in other case":    {`"Payload":"` + strings.Repeat("A", 3_000_000) + `",`, "again"},
		"escapes":          {`"x":"` + strings.Repeat(`\u0041`, 600_000) + `",`, "not by"},
		"a name":           {`"` + strings.Repeat("x", 3_000_000) + `":0,`, "longer than 1024"},
	} {
		t.Run(name, func(t *testing.T) {
			r := around(c.more)
			if peak := peakOf(func() { refused(t, r, &k, c.want) }); peak > maxBlowUp*MaxEnvelope {
				t.Errorf("%d MiB", peak>>20)
			}
		})
	}
}

// Private evidence names nothing that its document lists.
func TestPrivate(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	r := accepted(t, wrapped(t, signer, spdxOf(3, 0)), &k)
	private, err := r.Private()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"components":3,"format":"spdx","specVersion":"2.3","truncated":true}`
	if string(private.Facts) != want || private.Document != r.Document || private.Signature != r.Signature {
		t.Errorf("%+v", private)
	}
	if again, err := private.Private(); err != nil || string(again.Facts) != want {
		t.Errorf("again: %s, %v", again.Facts, err)
	}
	if strings.Contains(string(r.Facts), `"truncated":true`) {
		t.Error("the result itself was changed")
	}
	for _, typ := range []string{TypeVEX, TypeSignature, TypeProvenance, "custom/meta"} {
		if _, err := (Result{Type: typ, Facts: json.RawMessage(`{}`)}).Private(); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", typ, err)
		}
	}
}
