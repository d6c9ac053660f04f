package registry

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func desc(i int, more string) string {
	return fmt.Sprintf(`{"mediaType":"application/x","digest":"sha256:%064x","size":7%s}`, i, more)
}

func image(inside string) string {
	return `{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":` + desc(1, "") + `,"layers":[` + desc(2, "") + `]` + inside + `}`
}

func list(n int, inside string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = desc(i+1, "")
	}
	return `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[` + strings.Join(all, ",") + `]` + inside + `}`
}

func TestManifest(t *testing.T) {
	hello := provenance.SHA256Of([]byte("hello")).String()
	data := `,"data":"` + base64.StdEncoding.EncodeToString([]byte("hello")) + `"`
	empty := `{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + provenance.SHA256Of([]byte("{}")).String() + `","size":2}`
	for name, c := range map[string]struct {
		body, contentType string
		check             func(Facts) bool
	}{
		"image": {image(""), ociManifest, func(f Facts) bool {
			return strings.HasSuffix(f.Config.String(), "01") && f.ArtifactType == "application/x"
		}},
		"no header":          {image(""), "", func(f Facts) bool { return f.MediaType == ociManifest }},
		"no mediaType":       {strings.Replace(image(""), `"mediaType":"`+ociManifest+`",`, "", 1), ociManifest, func(f Facts) bool { return f.MediaType == ociManifest }},
		"unknown fields":     {image(`,"later":{"a":[1]},"annotations":{"Key":"1","key2":"2"}`), ociManifest, nil},
		"no layers":          {strings.Replace(image(""), `[`+desc(2, "")+`]`, "[]", 1), ociManifest, nil},
		"artifact type":      {image(`,"artifactType":"application/spdx+json"`), ociManifest, func(f Facts) bool { return f.ArtifactType == "application/spdx+json" }},
		"subject":            {image(`,"subject":` + desc(3, "")), ociManifest, func(f Facts) bool { return strings.HasSuffix(f.Subject.String(), "03") }},
		"no subject":         {image(`,"subject":null`), ociManifest, func(f Facts) bool { return f.Subject.IsZero() }},
		"empty artifact":     {`{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":` + empty + `,"layers":[` + empty + `]}`, "", func(f Facts) bool { return f.ArtifactType == "" }},
		"index":              {list(3, ""), ociIndex, func(f Facts) bool { return len(f.Children) == 3 && f.Config.IsZero() }},
		"empty index":        {list(0, ""), ociIndex, func(f Facts) bool { return len(f.Children) == 0 }},
		"full index":         {list(256-1, ""), ociIndex, nil},
		"child twice":        {strings.Replace(list(2, ""), desc(2, ""), desc(1, ""), 1), ociIndex, func(f Facts) bool { return len(f.Children) == 1 }},
		"good data":          {image(`,"subject":{"digest":"` + hello + `","size":5` + data + `}`), "", nil},
		"docker list":        {strings.Replace(list(1, ""), ociIndex, manifest.DockerIndex, 1), manifest.DockerIndex, nil},
		"sha512 descriptor":  {image(`,"subject":{"digest":"sha512:` + strings.Repeat("a", 128) + `","size":1}`), "", nil},
		"trailing new lines": {image("") + "\n\n", ociManifest, nil},
	} {
		facts, err := readFacts([]byte(c.body), c.contentType, provenance.SHA256Of([]byte(c.body)))
		if err != nil || facts.Size != int64(len(c.body)) || (c.check != nil && !c.check(facts)) {
			t.Errorf("%s: %+v, %v", name, facts, err)
		}
	}

	for name, c := range map[string]struct{ body, contentType string }{
		"not JSON":          {"hello", ociManifest},
		"empty":             {"", ociManifest},
		"a list":            {"[]", ociManifest},
		"null":              {"null", ociManifest},
		"second document":   {image("") + "{}", ociManifest},
		"not UTF-8":         {image(",\"a\":\"\xff\""), ociManifest},
		"BOM":               {"\ufeff" + image(""), ociManifest},
		"key twice":         {image(`,"layers":[]`), ociManifest},
		"case twins":        {image(`,"Layers":[]`), ociManifest},
		"escaped twin":      {image(`,"l\u0061yers":[]`), ociManifest},
		"long s twin":       {image(",\"layer\u017f\":[]"), ociManifest},
		"twin in a layer":   {strings.Replace(image(""), `"size":7`, `"size":7,"Digest":"x"`, 1), ociManifest},
		"deep":              {image(`,"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)), ociManifest},
		"other type":        {image(""), ociIndex},
		"docker for OCI":    {image(""), manifest.DockerManifest},
		"no type at all":    {strings.Replace(image(""), `"mediaType":"`+ociManifest+`",`, "", 1), ""},
		"unknown type":      {strings.Replace(image(""), ociManifest, "application/x", 1), "application/x"},
		"schema 1":          {`{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[],"history":[]}`, "application/vnd.docker.distribution.manifest.v1+prettyjws"},
		"schema 1 in 2":     {image(`,"fsLayers":[]`), ociManifest},
		"schema version":    {strings.Replace(image(""), `"schemaVersion":2`, `"schemaVersion":1`, 1), ociManifest},
		"no schema version": {strings.Replace(image(""), `"schemaVersion":2,`, "", 1), ociManifest},
		"image and index":   {image(`,"manifests":[]`), ociManifest},
		"index and image":   {list(1, `,"layers":[]`), ociIndex},
		"index with config": {list(1, `,"config":`+desc(1, "")), ociIndex},
		"index of nothing":  {`{"schemaVersion":2,"mediaType":"` + ociIndex + `"}`, ociIndex},
		"no config":         {`{"schemaVersion":2,"mediaType":"` + ociManifest + `","layers":[]}`, ociManifest},
		"null config":       {`{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":null,"layers":[]}`, ociManifest},
		"no layers key":     {`{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":` + desc(1, "") + `}`, ociManifest},
		"negative size":     {strings.Replace(image(""), `"size":7`, `"size":-1`, 1), ociManifest},
		"negative layer":    {strings.Replace(image(""), desc(2, ""), strings.Replace(desc(2, ""), "7", "-7", 1), 1), ociManifest},
		"2^63":              {strings.Replace(image(""), `"size":7`, `"size":9223372036854775808`, 1), ociManifest},
		"size 1e999":        {strings.Replace(image(""), `"size":7`, `"size":1e999`, 1), ociManifest},
		"bad digest":        {strings.Replace(image(""), "sha256:", "SHA256:", 1), ociManifest},
		"md5":               {image(`,"subject":{"digest":"md5:` + strings.Repeat("a", 32) + `","size":1}`), ociManifest},
		"config is a layer": {strings.Replace(image(""), desc(2, ""), desc(1, ""), 1), ociManifest},
		"257 children":      {list(257, ""), ociIndex},
		"wrong data":        {image(`,"subject":{"digest":"` + layerDigest + `","size":5` + data + `}`), ociManifest},
		"wrong data size":   {image(`,"subject":{"digest":"` + hello + `","size":6` + data + `}`), ociManifest},
		"data no base64":    {image(`,"subject":{"digest":"` + hello + `","size":5,"data":"%"}`), ociManifest},
		"artifact type":     {image(`,"artifactType":"not a type"`), ociManifest},
		"long artifact":     {image(`,"artifactType":"a/` + strings.Repeat("b", 300) + `"`), ociManifest},
	} {
		if facts, err := readFacts([]byte(c.body), c.contentType, provenance.SHA256Of([]byte(c.body))); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %+v, %v; want Invalid", name, facts, err)
		}
	}
}

// A manifest cannot name itself: no content holds its own hash, so bytes that say
// so are no registry's. A registry that sends other bytes than were asked for
// sends no manifest.
func TestManifestOfAnother(t *testing.T) {
	self, err := provenance.ParseDigest(fmt.Sprintf("sha256:%064x", 99))
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"own layer":   strings.Replace(image(""), desc(2, ""), desc(99, ""), 1),
		"own config":  strings.Replace(image(""), desc(1, ""), desc(99, ""), 1),
		"own child":   list(99, ""),
		"own subject": image(`,"subject":` + desc(99, "")),
	} {
		if _, err := manifest.Hashed([]byte(body), self); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v; want Invalid", name, err)
		}
		if _, err := manifest.Hashed([]byte(body), provenance.SHA256Of([]byte(body))); err != nil {
			t.Errorf("%s, under its own hash: %v", name, err)
		}
	}
	if _, err := readFacts([]byte(image("")), ociManifest, self); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("other bytes: %v", err)
	}
}

// Whatever a manifest says, its facts may stand in an event.
func FuzzManifest(f *testing.F) {
	good, _ := sample()
	for _, seed := range []string{string(good), image(""), list(3, ""), image(`,"subject":` + desc(3, "")), image(`,"artifactType":"a/b"`), "{}", "[]", `{"a":1,"A":2}`} {
		f.Add([]byte(seed), ociManifest)
		f.Add([]byte(seed), ociIndex)
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		facts, err := readFacts(body, contentType, provenance.SHA256Of(body))
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatal(err)
			}
			return
		}
		e := provenance.Event{Action: provenance.Push, Source: "sweep", Repository: "a", Digest: provenance.SHA256Of(body),
			MediaType: facts.MediaType, ArtifactType: facts.ArtifactType, Size: facts.Size, Config: facts.Config, Subject: facts.Subject, Children: facts.Children}
		if err := e.Check(); err != nil {
			t.Fatalf("facts %+v: %v", facts, err)
		}
	})
}
