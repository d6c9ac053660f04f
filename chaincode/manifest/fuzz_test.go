package manifest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// reference is what encoding/json makes of a manifest.
type reference struct {
	SchemaVersion int64         `json:"schemaVersion"`
	MediaType     string        `json:"mediaType"`
	ArtifactType  string        `json:"artifactType"`
	Config        *descriptorOf `json:"config"`
	Layers        *[]any        `json:"layers"`
	Manifests     *[]struct {
		Digest string `json:"digest"`
	} `json:"manifests"`
	Subject *descriptorOf `json:"subject"`
}

type descriptorOf struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
}

// FuzzManifest: whatever is accepted is JSON, encoding/json reads the same facts
// from it, and the facts may stand in an event.
func FuzzManifest(f *testing.F) {
	for _, seed := range []string{
		imageOfOCI, indexOfBuildx, imageOfDocker, listOfDocker, signatureOfCosign, artifactOfORAS, chartOfHelm, schema1,
		image(""), list(3, ""), image(`,"subject":` + desc(3, "")), image(`,"artifactType":"a/b"`), image(`,"a":"\q"`), image(`,"l\u0061ter":[1e5,-1]`), "{}", "[]", `{"a":1,"A":2}`,
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), OCIManifest)
		f.Add([]byte(seed), OCIIndex)
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		self := provenance.SHA256Of(body)
		got, err := Read(body, contentType, self)
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatal(err)
			}
			return
		}
		var m reference
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatalf("%q was read, and encoding/json says %v", body, err)
		}
		if m.SchemaVersion != 2 || m.MediaType != "" && m.MediaType != got.MediaType || got.Size != int64(len(body)) || IsIndex(got.MediaType) != (m.Manifests != nil) || IsIndex(got.MediaType) == (m.Layers != nil) {
			t.Fatalf("%q: %+v and %+v", body, got, m)
		}
		text := func(d *descriptorOf) string {
			if d == nil {
				return provenance.Digest{}.String()
			}
			return d.Digest
		}
		if text(m.Config) != got.Config.String() || text(m.Subject) != got.Subject.String() || m.ArtifactType != "" && m.ArtifactType != got.ArtifactType {
			t.Fatalf("%q: %+v and %+v", body, got, m)
		}
		var children []string
		if m.Manifests != nil {
			for _, c := range *m.Manifests {
				if !slices.Contains(children, c.Digest) {
					children = append(children, c.Digest)
				}
			}
		}
		if fmt.Sprint(children) != fmt.Sprint(got.Children) {
			t.Fatalf("%q: %v and %v", body, got.Children, children)
		}
		e := provenance.Event{
			Action: provenance.Push, Source: "sweep", Repository: "a", Digest: self,
			MediaType: got.MediaType, ArtifactType: got.ArtifactType, Size: got.Size, Config: got.Config, Subject: got.Subject, Children: got.Children,
		}
		if err := e.Check(); err != nil {
			t.Fatalf("facts %+v: %v", got, err)
		}
	})
}

func BenchmarkManifest(b *testing.B) {
	var layers []string
	for i := range 40 {
		layers = append(layers, desc(i+2, `,"annotations":{"org.example.layer":"a layer like another"}`))
	}
	large := strings.Replace(image(""), desc(2, ""), strings.Join(layers, ","), 1)
	hostile := image(`,"a":[` + strings.Repeat(`{"config":"a"},`, (provenance.MaxManifest-1024)/15) + `0]`)
	var object, names strings.Builder
	for i := range maxNames {
		fmt.Fprintf(&object, `,"%x":0`, i)
	}
	for names.Len() < provenance.MaxManifest-2*object.Len() {
		names.WriteString(",{" + object.String()[1:] + "}")
	}
	for name, body := range map[string]string{"image": imageOfOCI, "index": indexOfBuildx, "40 layers": large, "4 MiB of objects": hostile, "4 MiB of names": image(`,"a":[0` + names.String() + "]")} {
		b.Run(name, func(b *testing.B) {
			text, self := []byte(body), provenance.SHA256Of([]byte(body))
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Hashed(text, self); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
