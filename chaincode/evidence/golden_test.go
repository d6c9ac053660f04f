package evidence

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func digest(t testing.TB, s string) provenance.Digest {
	t.Helper()
	d, err := provenance.ParseDigest(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// golden compares got, as indented JSON, with a file beside the input.
func golden(t *testing.T, path string, got any) {
	t.Helper()
	b, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, '\n')
	if *update {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(b)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// formatOf reads the format out of a file name: NAME.FORMAT.json.
func formatOf(path string) Format {
	parts := strings.Split(filepath.Base(path), ".")
	return Format(parts[len(parts)-2])
}

// TestRealTools verifies what cosign v3.1.3 and notation made and pushed to a
// registry, and holds the results to golden files.
func TestRealTools(t *testing.T) {
	for _, tool := range []string{"cosign", "notation"} {
		subject := digest(t, string(read(t, tool, "subject")))
		files, err := filepath.Glob(filepath.Join("testdata", tool, "*.*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files of %s: %v", tool, err)
		}
		for _, file := range files {
			t.Run(tool+"/"+filepath.Base(file), func(t *testing.T) {
				name, _, _ := strings.Cut(filepath.Base(file), ".")
				kind, pem := PublicKey, "key.pub"
				if own := strings.TrimSuffix(file, filepath.Base(file)) + name + ".pub"; fileExists(own) {
					pem = name + ".pub"
				}
				if own := strings.TrimSuffix(file, filepath.Base(file)) + name + ".root"; fileExists(own) {
					kind, pem = CertificateRoot, name+".root"
				}
				k, err := ParseKey("release", string(kind), string(read(t, tool, pem)))
				if err != nil {
					t.Fatal(err)
				}
				envelope, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				r := Request{Subject: subject, Format: formatOf(file), Envelope: envelope, Now: now}
				result, err := Verify(r, &k)
				if err != nil {
					t.Fatal(err)
				}
				again, err := Verify(r, &k)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(result, again); diff != "" {
					t.Errorf("second time differs:\n%s", diff)
				}
				if hint := KeyHint(r.Format, envelope); r.Format == FormatBundle && hint != k.Fingerprint() {
					t.Errorf("the hint is %q, the key %q", hint, k.Fingerprint())
				}
				golden(t, strings.TrimSuffix(file, ".json")+".golden", result)

				for name, bad := range map[string]func(*Request){
					"other image": func(r *Request) { r.Subject = provenance.SHA256Of([]byte("other")) },
					"other type":  func(r *Request) { r.Type = "custom/other" },
				} {
					r := r
					bad(&r)
					if _, err := Verify(r, &k); provenance.CodeOf(err) != provenance.Invalid {
						t.Errorf("%s: %v", name, err)
					}
				}
				other := publicKey(t, newECDSA(t))
				if _, err := Verify(r, &other); err == nil {
					t.Error("verified with another key")
				}
			})
		}
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
