package state

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state/packed"
)

var sameDigest = cmp.Comparer(func(a, b provenance.Digest) bool { return a == b })

func sample() (Place, Tag) {
	at := time.Date(2026, 11, 24, 8, 30, 0, int(7*time.Millisecond), time.UTC)
	d := func(s string) provenance.Digest { return provenance.SHA256Of([]byte(s)) }
	return Place{
		MediaType: "application/vnd.oci.image.index.v1+json", ArtifactType: "application/example", Size: 1609, Config: d("config"), Subject: d("subject"),
		Children: []provenance.Digest{d("amd64"), d("arm64")}, Actor: "ci", MSP: "VendorMSP", At: at, Deleted: true, Tags: []provenance.Tag{"1.0", "latest"},
	}, Tag{Digest: d("new"), Previous: d("old"), Moves: 3, At: at}
}

// nesting lists two images and two indexes.
func nesting() Place {
	place, _ := sample()
	d := func(s string) provenance.Digest { return provenance.SHA256Of([]byte(s)) }
	place.Children = []provenance.Digest{d("index"), d("amd64"), d("arm64"), d("another")}
	place.Nested, place.Proven = []provenance.Digest{d("index"), d("another")}, true
	return place
}

// The golden file is protocol: a ledger's values must stay readable.
func TestBinaryGolden(t *testing.T) {
	place, tag := sample()
	var lines []string
	for _, record := range []any{place, Place{MediaType: "application/other", MSP: "A"}, Place{}, tag, Tag{}, Place{Proven: true}, Place{TagsCut: true, Proven: true}, nesting()} {
		b, err := Encode(record)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, hex.EncodeToString(b))
	}
	golden(t, "compact-v1.hex", lines)
}

// golden compares lines with a file in testdata, which UPDATE_GOLDEN writes.
func golden(t *testing.T, file string, lines []string) {
	t.Helper()
	got, path := strings.Join(lines, "\n")+"\n", filepath.Join("testdata", file)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the encoding changed (-want +got):\n%s", diff)
	}
}

func TestBinaryRoundTrip(t *testing.T) {
	place, tag := sample()
	for _, want := range []Place{place, nesting(), {}, {Proven: true}, {TagsCut: true, MSP: "A"}, {MediaType: "application/other", Tags: []provenance.Tag{"a"}}, {MediaType: "application/vnd.oci.image.manifest.v1+json"}} {
		b, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got := place // what stands in the target must go
		if err := Decode(b, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameDigest); diff != "" {
			t.Errorf("place (-want +got):\n%s", diff)
		}
		refuses(t, b, func(b []byte) error { return Decode(b, new(Place)) })
	}
	for _, want := range []Tag{tag, {}, {Digest: tag.Digest, Moves: 1, At: tag.At}} {
		b, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Tag
		if err := Decode(b, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameDigest); diff != "" {
			t.Errorf("tag (-want +got):\n%s", diff)
		}
		refuses(t, b, func(b []byte) error { return Decode(b, new(Tag)) })
	}
}

// refuses asks for an error at every truncation, a trailing byte and another version.
func refuses(t *testing.T, b []byte, decode func([]byte) error) {
	t.Helper()
	for i := range b {
		if decode(b[:i]) == nil {
			t.Errorf("%d of %d bytes were read", i, len(b))
		}
	}
	if decode(append(b[:len(b):len(b)], 0)) == nil || decode(append([]byte{packed.Version + 1}, b[1:]...)) == nil {
		t.Error("a trailing byte or another version was read")
	}
}

func FuzzDecodePlace(f *testing.F) {
	place, tag := sample()
	for _, record := range []any{place, nesting(), tag} {
		b, err := Encode(record)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Place
		if Decode(b, &p) == nil {
			again, err := Encode(p)
			var q Place
			if err != nil || Decode(again, &q) != nil || !cmp.Equal(p, q, sameDigest) {
				t.Errorf("%x was read as %+v and written as %x", b, p, again)
			}
		}
		_ = Decode(b, new(Tag)) // must not panic
	})
}
