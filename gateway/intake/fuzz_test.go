package intake

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// Headers travel through the fuzzer as lines, as in the fixtures.
func headerLines(h http.Header) string {
	var out strings.Builder
	for name, values := range h {
		for _, v := range values {
			out.WriteString(name + ": " + v + "\n")
		}
	}
	return out.String()
}

func headerOf(lines string) http.Header {
	h := http.Header{}
	for line := range strings.Lines(lines) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ": "); ok {
			h.Add(name, value)
		}
	}
	return h
}

// fuzzKind feeds a kind's parser with whatever a sender who knows the secret
// might send. What it lets through must be able to stand on the ledger, now or
// when its digest is known; what it refuses must be refused with a code.
func fuzzKind(f *testing.F, kind string) {
	for _, name := range fixtures(f, kind) {
		raw, header := load(f, kind, name)
		f.Add(raw, headerLines(header))
	}
	connector := connectorOf(f, kind)
	format, _ := formatOf(kind)
	f.Fuzz(func(t *testing.T, raw []byte, headers string) {
		if len(raw) == 0 {
			return // the handler refuses it
		}
		m := messageOf(&connector, raw, headerOf(headers))
		if !format.types(m.mediaType) {
			m.mediaType = "application/json"
		}
		b, err := format.parse(m)
		if err != nil {
			code := provenance.CodeOf(err)
			if code != provenance.Invalid && code != provenance.Forbidden || len(b.events) != 0 || b.reply != nil {
				t.Fatalf("error %v with %d events", err, len(b.events))
			}
			return
		}
		ignored := 0
		for _, n := range b.ignored {
			ignored += n
		}
		if len(b.events) != len(b.bodies) || len(b.events)+ignored == 0 && b.reply == nil && !empty(raw, kind) {
			t.Fatalf("%d events, %d bodies, ignored %v", len(b.events), len(b.bodies), b.ignored)
		}
		ids := map[provenance.EventID]bool{}
		for i, e := range b.events {
			if delivery.Unresolved(e) {
				e.Digest = provenance.SHA256Of(nil)
			}
			if e.Repository == "" || e.Source != kind || e.ID == (provenance.EventID{}) || b.bodies[i] == ([32]byte{}) {
				t.Fatalf("event %+v", e)
			}
			ids[e.ID] = true
			// It must survive the road to the ledger unchanged.
			bytes, err := provenance.EncodeSegment([]provenance.Event{e})
			if err != nil {
				t.Fatalf("event would not stand on the ledger: %v", err)
			}
			if _, err := provenance.DecodeSegment(bytes); err != nil {
				t.Fatal(err)
			}
		}
		// The same again, in a process that remembers nothing, is the same.
		again := messageOf(&connector, raw, headerOf(headers))
		again.mediaType = m.mediaType
		b2, err := format.parse(again)
		if err != nil || len(b2.events) != len(b.events) {
			t.Fatalf("the second time: %d events, %v", len(b2.events), err)
		}
		for i := range b2.events {
			if !ids[b2.events[i].ID] || b2.bodies[i] != b.bodies[i] {
				t.Fatalf("event %d has another name the second time", i)
			}
		}
	})
}

// empty tells an envelope without events, which distribution's format allows.
func empty(raw []byte, kind string) bool {
	return (kind == KindDistribution || kind == KindGitLab) && strings.Contains(string(raw), "[")
}

func FuzzDistribution(f *testing.F) { fuzzKind(f, KindDistribution) }
func FuzzGitLab(f *testing.F)       { fuzzKind(f, KindGitLab) }
func FuzzHarbor(f *testing.F)       { fuzzKind(f, KindHarbor) }
func FuzzZot(f *testing.F)          { fuzzKind(f, KindZot) }
func FuzzQuay(f *testing.F)         { fuzzKind(f, KindQuay) }
func FuzzGHCR(f *testing.F)         { fuzzKind(f, KindGHCR) }
func FuzzDockerHub(f *testing.F)    { fuzzKind(f, KindDockerHub) }
func FuzzArtifactory(f *testing.F)  { fuzzKind(f, KindArtifactory) }
func FuzzNexus(f *testing.F)        { fuzzKind(f, KindNexus) }
func FuzzECR(f *testing.F)          { fuzzKind(f, KindECR) }
func FuzzACR(f *testing.F)          { fuzzKind(f, KindACR) }
func FuzzEventGrid(f *testing.F)    { fuzzKind(f, KindEventGrid) }
func FuzzGitea(f *testing.F)        { fuzzKind(f, KindGitea) }
func FuzzAlibaba(f *testing.F)      { fuzzKind(f, KindAlibaba) }
func FuzzGeneric(f *testing.F)      { fuzzKind(f, KindGeneric) }

// FuzzGAR is over the notification in the envelope as well: base64 hides it
// from the fuzzer otherwise.
func FuzzGAR(f *testing.F) { fuzzKind(f, KindGAR) }

func FuzzGARNotification(f *testing.F) {
	for _, seed := range []string{
		`{"action":"INSERT","digest":"europe-docker.pkg.dev/p1/r1/billing@sha256:` + strings.Repeat("ab", 32) + `","tag":"europe-docker.pkg.dev/p1/r1/billing:1"}`,
		`{"action":"DELETE","tag":"europe-docker.pkg.dev/p1/r1/billing:1"}`, `{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var n garNotification
		if decode(raw, &n, "a notification") != nil {
			return
		}
		c, elsewhere, err := n.report("europe-docker.pkg.dev")
		if err != nil || elsewhere {
			return
		}
		e, err := c.event(KindGAR, received())
		if err == nil && delivery.Unresolved(e) {
			e.Digest = provenance.SHA256Of(nil)
		}
		if err == nil && e.Check() != nil {
			t.Fatalf("%q: event %+v: %v", raw, e, e.Check())
		}
	})
}

// Tokens come from strangers: nothing but the right one may pass.
func FuzzToken(f *testing.F) {
	check, err := newTokens(testOIDC(f))
	if err != nil {
		f.Fatal(err)
	}
	right := token(f, rs256(), goodClaims())
	for _, seed := range []string{right, "", "..", "a.b.c", strings.Repeat(".", 9000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if check.verify(text, received()) && !sameBytes(text, right) {
			t.Fatalf("admitted %q", text)
		}
	})
}

// sameBytes tells whether two tokens are the same but for how base64 may spell
// them: the bits behind its last byte mean nothing.
func sameBytes(a, b string) bool {
	one, other := strings.Split(a, "."), strings.Split(b, ".")
	return len(one) == len(other) && slices.EqualFunc(one, other, func(a, b string) bool {
		x, errX := base64.RawURLEncoding.DecodeString(a)
		y, errY := base64.RawURLEncoding.DecodeString(b)
		return errX == nil && errY == nil && bytes.Equal(x, y)
	})
}

func FuzzKeySet(f *testing.F) {
	f.Add(jwks(f, jwk("k1", &issuerKey(f).PublicKey)))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := readKeys(raw)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if k.N.BitLen() < minModulus || k.N.BitLen() > 4096 || k.E < 3 {
				t.Fatalf("weak key of %d bits, exponent %d", k.N.BitLen(), k.E)
			}
		}
	})
}

// Signature headers come from strangers: no secret, no match.
func FuzzSignature(f *testing.F) {
	for _, seed := range []string{"sha256=" + strings.Repeat("0", 64), "", ",,,,,", "sha256=,sha256=zz", strings.Repeat("sha256=00,", 1000)} {
		f.Add(seed, "1772442900")
	}
	g := genericFormat().sign
	f.Fuzz(func(t *testing.T, value, stamp string) {
		h := http.Header{SignatureHeader: {value}, TimestampHeader: {stamp}}
		got, ok, tooMany := g.read(h, received())
		if ok && tooMany || len(got.codes) > maxSignatures {
			t.Fatalf("%d codes, ok %v, too many %v", len(got.codes), ok, tooMany)
		}
		if ok && g.verify([][]byte{[]byte("a secret that the fuzzer has not seen")}, got, []byte("body")) {
			t.Fatal("a guess is right")
		}
	})
}

// FuzzNames: a walk through any valid document ends at its end, and one through
// any other ends.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{`{"kind":"a","parts":[{"digest":"b"},7,"]"]}`, ` [ {"a":"\\\""} , -1e9,true ] `, `"\\"`, `7`, `[`, `{"kind"`, `{"parts":[}`, `{"a":{}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var form struct {
			Kind  string `json:"kind"`
			Parts []struct {
				Digest string `json:"digest"`
			} `json:"parts"`
		}
		err := checkNames(raw, &form)
		if !json.Valid(raw) {
			return
		}
		w := &walk{in: raw}
		if got := w.skip(); !bytes.Equal(got, bytes.TrimSpace(raw)) && len(bytes.TrimSpace(raw[w.at:])) > 0 {
			t.Fatalf("%q: skipped %q", raw, got)
		}
		// What a strict reader takes has no name twice, but perhaps in two spellings.
		strict := strictjson.Check(raw, strictjson.Limits{Bytes: len(raw) + 1, Name: len(raw) + 1}) == nil
		if strict && err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
	})
}
