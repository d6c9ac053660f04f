package provenance

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseDigest(t *testing.T) {
	hex64 := strings.Repeat("ab", 32)
	good := []string{"sha256:" + hex64, "sha512:" + hex64 + hex64}
	for _, s := range good {
		d, err := ParseDigest(s)
		if err != nil || d.String() != s {
			t.Errorf("%q: %v, %v", s, d, err)
		}
	}
	bad := []string{"", "sha256:", "sha256:" + hex64[1:], "sha256:" + hex64 + "0", "SHA256:" + hex64, "sha256:" + strings.ToUpper(hex64), " sha256:" + hex64,
		"sha256:" + hex64 + "\n", "md5:" + hex64[:32], "sha512:" + hex64, "sha256+b64:" + hex64, "sha256:../../" + hex64[6:], "sha256:" + hex64[:61] + "%00", hex64}
	for _, s := range bad {
		if d, err := ParseDigest(s); CodeOf(err) != Invalid || !d.IsZero() {
			t.Errorf("%q was accepted as %v (%v)", s, d, err)
		}
	}
	if !SHA256Of([]byte("x")).Matches([]byte("x")) || SHA256Of([]byte("x")).Matches([]byte("y")) || (Digest{}).Matches(nil) {
		t.Error("Matches is wrong")
	}
}

func TestParseReference(t *testing.T) {
	d := SHA256Of(nil).String()
	good := map[string]string{
		"reg.example/team/app:1.0":              "reg.example/team/app:1.0",
		"REG.example:5000/app@" + d:             "reg.example:5000/app@" + d,
		"localhost/a:b":                         "localhost/a:b",
		"index.docker.io/library/alpine:3":      "docker.io/library/alpine:3",
		"reg.example/a__b/c--d.e:v_1-2.3@" + d:  "reg.example/a__b/c--d.e:v_1-2.3@" + d,
		"[::1]:5000/app:1":                      "[::1]:5000/app:1",
		"127.0.0.1:5000/" + "a/b/c" + ":latest": "127.0.0.1:5000/a/b/c:latest",
	}
	for in, want := range good {
		r, err := ParseReference(in)
		if err != nil || r.String() != want {
			t.Errorf("%q: %q, %v; want %q", in, r, err, want)
		}
	}
	bad := []string{"", "app", "app:1", "team/app:1", "reg.example/app", "reg.example/App:1", "reg.example/../app:1", "reg.example//app:1", "reg.example/a..b:1",
		"reg.example/app:" + strings.Repeat("x", 129), "reg.example/app:-x", "reg.example/app@" + d + "@" + d, "reg.example/app:1@sha256:x", "reg.example:0/app:1",
		"reg.example:65536/app:1", "reg.example:05/app:1", "reg.example/app:la\ntest", "reg.example/" + strings.Repeat("a", 256) + ":1", "re\u0261.example/app:1", "reg.example/app%2e%2e:1",
		"[::ffff:127.0.0.1]/app:1", "-reg.example/app:1"}
	for _, in := range bad {
		if r, err := ParseReference(in); CodeOf(err) != Invalid {
			t.Errorf("%q was accepted as %q (%v)", in, r, err)
		}
	}
}

func TestErrorCodeSurvivesTheWire(t *testing.T) {
	err := fmt.Errorf("endorse: %w", Wrap(NotFound, errors.New("no key"), "tag %s", "x"))
	if CodeOf(err) != NotFound || CodeOf(errors.New("plain")) != Internal || CodeOf(nil) != "" {
		t.Error("CodeOf is wrong")
	}
	// The text as a peer's gateway wraps it (fabric internal/pkg/gateway/apiutils.go).
	parsed, ok := ParseError("chaincode response 500, " + errors.Unwrap(err).Error())
	if !ok || parsed.Code != NotFound || parsed.Message != "tag x: no key" {
		t.Errorf("parsed %+v", parsed)
	}
	in := Wrap(Unavailable, ErrorIn(Role, Forbidden, "no role"), "submit")
	if PhaseOf(in) != Role || PhaseOf(err) != "" || PhaseOf(nil) != "" {
		t.Error("PhaseOf is wrong")
	}
	parsed, ok = ParseError("chaincode response 500, " + errors.Unwrap(in).Error())
	if !ok || parsed.Code != Forbidden || parsed.Phase != Role || parsed.Message != "no role" || parsed.Error() != errors.Unwrap(in).Error() {
		t.Errorf("parsed %+v", parsed)
	}
	if _, ok := ParseError("chaincode response 500, WB_FORBIDDEN (mood): x"); ok {
		t.Error("a phase that is none was parsed")
	}
	if _, ok := ParseError("chaincode response 500, WB_NOT_FOUNDER"); ok {
		t.Error("half a code was parsed")
	}
}

func sample() []Event {
	at := time.UnixMilli(1772442845120).UTC()
	return []Event{
		{ID: NewEventID("distribution", "vendor", "1"), Action: Push, Source: "distribution", Repository: "team/app", Tag: "1.0", Digest: SHA256Of([]byte("index")),
			MediaType: "application/vnd.oci.image.index.v1+json", Size: 1609, Children: []Digest{SHA256Of([]byte("amd64")), SHA256Of([]byte("arm64"))}, Actor: "ci", OccurredAt: at},
		{ID: NewEventID("distribution", "vendor", "2"), Action: Pull, Source: "distribution", Repository: "team/app", Digest: SHA256Of([]byte("amd64")), OccurredAt: at.Add(-time.Second)},
		{ID: NewEventID("distribution", "vendor", "3"), Action: TagDelete, Source: "distribution", Repository: "team/app", Tag: "1.0", OccurredAt: at},
		{ID: NewEventID("distribution", "vendor", "4"), Action: Unknown, Source: "distribution", OccurredAt: at},
	}
}

// wantEncoding holds a list of events to its encoding in testdata, there and back.
func wantEncoding(t *testing.T, events []Event, file string) (got []byte) {
	t.Helper()
	got, err := EncodeSegment(events)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", file)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(hex.EncodeToString(got)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(got) != strings.TrimSpace(string(want)) {
		t.Errorf("the encoding changed:\n%x", got)
	}
	if n, err := SegmentEvents(got); err != nil || n != len(events) {
		t.Errorf("%d events, %v", n, err)
	}
	back, err := DecodeSegment(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events, back, cmp.Comparer(func(a, b Digest) bool { return a == b })); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	return got
}

// The golden file is protocol: segments on a ledger must stay readable.
func TestSegmentGolden(t *testing.T) {
	wantEncoding(t, sample(), "segment-v2.hex")
}

func TestSegmentRefuses(t *testing.T) {
	b, err := EncodeSegment(sample())
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		if _, err := DecodeSegment(b[:i]); CodeOf(err) != Invalid {
			t.Fatalf("%d of %d bytes: %v", i, len(b), err)
		}
	}
	for name, bad := range map[string][]byte{"trailing byte": append(b[:len(b):len(b)], 0), "version": append([]byte{1}, b[1:]...), "large": make([]byte, MaxSegmentBytes+1)} {
		if _, err := DecodeSegment(bad); CodeOf(err) != Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, e := range map[string]Event{
		"push without digest":    {Action: Push, Repository: "a"},
		"tag-delete without tag": {Action: TagDelete, Repository: "a"},
		"no action":              {Repository: "a", Digest: SHA256Of(nil)},
		"bad repository":         {Action: Pull, Repository: "A", Digest: SHA256Of(nil)},
		"negative size":          {Action: Push, Repository: "a", Digest: SHA256Of(nil), Size: -1},
		"long actor":             {Action: Push, Repository: "a", Digest: SHA256Of(nil), Actor: strings.Repeat("x", 256)},
	} {
		if _, err := EncodeSegment([]Event{e}); CodeOf(err) != Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := EncodeSegment(nil); CodeOf(err) != Invalid {
		t.Errorf("an empty segment: %v", err)
	}
}

func FuzzDecodeSegment(f *testing.F) {
	b, err := EncodeSegment(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	if b, err = EncodeSegment(clients()); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := DecodeSegment(b)
		if err != nil {
			return
		}
		again, err := EncodeSegment(events)
		if err != nil || string(again) != string(b) {
			t.Errorf("decoded, but encodes otherwise (%v)", err)
		}
	})
}

func FuzzParseReference(f *testing.F) {
	f.Add("reg.example:5000/team/app:1.0@" + SHA256Of(nil).String())
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReference(s)
		if err != nil {
			return
		}
		if again, err := ParseReference(r.String()); err != nil || again != r {
			t.Errorf("%q became %q, which became %q (%v)", s, r, again, err)
		}
	})
}

func FuzzParseDigest(f *testing.F) {
	f.Add(SHA256Of(nil).String())
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDigest(s)
		if err != nil {
			return
		}
		var back Digest
		b, _ := json.Marshal(d)
		if err := json.Unmarshal(b, &back); err != nil || back != d || d.String() != s {
			t.Errorf("%q does not survive JSON: %v", s, err)
		}
	})
}
