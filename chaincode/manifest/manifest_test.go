package manifest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func desc(i int, more string) string {
	return fmt.Sprintf(`{"mediaType":"application/x","digest":"sha256:%064x","size":7%s}`, i, more)
}

func image(inside string) string {
	return `{"schemaVersion":2,"mediaType":"` + OCIManifest + `","config":` + desc(1, "") + `,"layers":[` + desc(2, "") + `]` + inside + `}`
}

func list(n int, inside string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = desc(i+1, "")
	}
	return `{"schemaVersion":2,"mediaType":"` + OCIIndex + `","manifests":[` + strings.Join(all, ",") + `]` + inside + `}`
}

func digest(t testing.TB, i int) provenance.Digest {
	t.Helper()
	d, err := provenance.ParseDigest(fmt.Sprintf("sha256:%064x", i))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// As they are found at registries: what the specifications print, and what
// builders and signers push.
const (
	imageOfOCI = `{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": "sha256:b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7",
    "size": 7023
  },
  "layers": [
    {
      "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
      "digest": "sha256:9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0",
      "size": 32654
    },
    {
      "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
      "digest": "sha256:3c3a4604a545cdc127456d94e421cd355bca5b528f4a9c1905b15da2eb4a4c6b",
      "size": 16724
    }
  ],
  "subject": {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "digest": "sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270",
    "size": 7682
  },
  "annotations": {
    "com.example.key1": "value1",
    "com.example.key2": "value2"
  }
}`
	indexOfBuildx = `{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "sha256:e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f",
      "size": 7143,
      "platform": {"architecture": "ppc64le", "os": "linux"}
    },
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270",
      "size": 7682,
      "platform": {"architecture": "amd64", "os": "linux", "os.features": ["a"]}
    },
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "sha256:94ee1b6cd3a0f12bbf09b2bd9ff26b5d7b1d03dc5c3c1e1db3cb4ad1f0b1f3aa",
      "size": 566,
      "annotations": {"vnd.docker.reference.digest": "sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270", "vnd.docker.reference.type": "attestation-manifest"},
      "platform": {"architecture": "unknown", "os": "unknown"}
    }
  ]
}`
	imageOfDocker = `{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
   "config": {
      "mediaType": "application/vnd.docker.container.image.v1+json",
      "size": 1470,
      "digest": "sha256:d2c94e258dcb3c5ac2798d32e1249e42ef01cba4841c2234249495f87264ac5a"
   },
   "layers": [
      {
         "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
         "size": 2457,
         "digest": "sha256:c1ec31eb59444d78df06a974d155e597c894ab4cda84f08294145e845394988e",
         "urls": ["https://cdn.example/layer"]
      }
   ]
}`
	listOfDocker = `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[
 {"mediaType":"application/vnd.docker.distribution.manifest.v2+json","size":528,"digest":"sha256:e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f","platform":{"architecture":"arm","os":"linux","variant":"v7"}}]}`
	signatureOfCosign = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":233,"digest":"sha256:9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0"},
 "layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":210,"digest":"sha256:3c3a4604a545cdc127456d94e421cd355bca5b528f4a9c1905b15da2eb4a4c6b","annotations":{"dev.cosignproject.cosign/signature":"MEUCIQ=="}}]}`
	artifactOfORAS = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/spdx+json",
 "config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},
 "layers":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],
 "subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270","size":7682}}`
	chartOfHelm = `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:8ec7c0f2f6860037c19b54c3cfbab48d9b4b21b485a93d87b64690fdb68c2111","size":117},
 "layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"sha256:1b251d38cfe948dfc0a5745b7af5ca574ecb61e52aed10b19039db39af6e1617","size":2487}]}`
	schema1 = `{"schemaVersion":1,"name":"hello-world","tag":"latest","architecture":"amd64","fsLayers":[{"blobSum":"sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"}],"history":[{"v1Compatibility":"{}"}],"signatures":[]}`
)

func TestRealManifests(t *testing.T) {
	parse := func(s string) provenance.Digest {
		d, err := provenance.ParseDigest("sha256:" + s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	amd64 := parse("5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270")
	ppc64 := parse("e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f")
	attest := parse("94ee1b6cd3a0f12bbf09b2bd9ff26b5d7b1d03dc5c3c1e1db3cb4ad1f0b1f3aa")
	for name, c := range map[string]struct {
		body string
		want Facts
	}{
		"OCI image":    {imageOfOCI, Facts{MediaType: OCIManifest, Config: parse("b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7"), Subject: amd64}},
		"index":        {indexOfBuildx, Facts{MediaType: OCIIndex, Children: []provenance.Digest{ppc64, amd64, attest}}},
		"docker image": {imageOfDocker, Facts{MediaType: DockerManifest, Config: parse("d2c94e258dcb3c5ac2798d32e1249e42ef01cba4841c2234249495f87264ac5a")}},
		"docker list":  {listOfDocker, Facts{MediaType: DockerIndex, Children: []provenance.Digest{ppc64}}},
		"signature":    {signatureOfCosign, Facts{MediaType: OCIManifest, Config: parse("9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0")}},
		"artifact":     {artifactOfORAS, Facts{MediaType: OCIManifest, ArtifactType: "application/spdx+json", Config: parse(emptyJSON[len("sha256:"):]), Subject: amd64}},
		"chart, which names no type": {chartOfHelm, Facts{
			MediaType: OCIManifest, ArtifactType: "application/vnd.cncf.helm.config.v1+json", Config: parse("8ec7c0f2f6860037c19b54c3cfbab48d9b4b21b485a93d87b64690fdb68c2111"),
		}},
	} {
		c.want.Size = int64(len(c.body))
		self := provenance.SHA256Of([]byte(c.body))
		for how, read := range map[string]func() (Facts, error){
			"served":    func() (Facts, error) { return Read([]byte(c.body), c.want.MediaType, self) },
			"untyped":   func() (Facts, error) { return Read([]byte(c.body), "", self) },
			"by a hash": func() (Facts, error) { return Hashed([]byte(c.body), self) },
		} {
			got, err := read()
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(provenance.Digest{})); err != nil || diff != "" {
				t.Errorf("%s, %s: %v\n%s", name, how, err, diff)
			}
		}
		if _, err := Read([]byte(c.body+" "), "", self); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s with other bytes than its digest's: %v", name, err)
		}
	}
	for name, contentType := range map[string]string{"untyped": "", "served": "application/vnd.docker.distribution.manifest.v1+prettyjws", "called another": DockerManifest} {
		if facts, err := Read([]byte(schema1), contentType, provenance.SHA256Of([]byte(schema1))); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("schema 1, %s: %+v, %v", name, facts, err)
		}
	}
}

func TestManifest(t *testing.T) {
	self := digest(t, 99)
	hello := provenance.SHA256Of([]byte("hello")).String()
	data := `,"data":"` + base64.StdEncoding.EncodeToString([]byte("hello")) + `"`
	empty := `{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + emptyJSON + `","size":2}`
	untyped := strings.Replace(image(""), `"mediaType":"`+OCIManifest+`",`, "", 1)
	for name, c := range map[string]struct {
		body, contentType string
		check             func(Facts) bool
	}{
		"image": {image(""), OCIManifest, func(f Facts) bool {
			return strings.HasSuffix(f.Config.String(), "01") && f.ArtifactType == "application/x"
		}},
		"no header":          {image(""), "", func(f Facts) bool { return f.MediaType == OCIManifest }},
		"no mediaType":       {untyped, OCIManifest, func(f Facts) bool { return f.MediaType == OCIManifest }},
		"no type at all":     {untyped, "", func(f Facts) bool { return f.MediaType == OCIManifest }},
		"unknown fields":     {image(`,"later":{"a":[1]},"annotations":{"Key":"1","key2":"2"}`), OCIManifest, nil},
		"unknown twice":      {image(`,"later":1,"later":2`), OCIManifest, nil},
		"every JSON":         {image(`,"a":[0,-0,-1.5e+3,1E9,true,false,null,"\u00e9\n\\\"\/",[],{},[[]],{"b":{}}]`), "", nil},
		"no layers":          {strings.Replace(image(""), `[`+desc(2, "")+`]`, "[]", 1), OCIManifest, nil},
		"artifact type":      {image(`,"artifactType":"application/spdx+json"`), OCIManifest, func(f Facts) bool { return f.ArtifactType == "application/spdx+json" }},
		"subject":            {image(`,"subject":` + desc(3, "")), OCIManifest, func(f Facts) bool { return strings.HasSuffix(f.Subject.String(), "03") }},
		"escaped":            {strings.Replace(image(`,"subject":`+desc(3, "")), `"subject"`, `"s\u0075bject"`, 1), "", func(f Facts) bool { return strings.HasSuffix(f.Subject.String(), "03") }},
		"no subject":         {image(`,"subject":null`), OCIManifest, func(f Facts) bool { return f.Subject.IsZero() }},
		"empty artifact":     {`{"schemaVersion":2,"mediaType":"` + OCIManifest + `","config":` + empty + `,"layers":[` + empty + `]}`, "", func(f Facts) bool { return f.ArtifactType == "" }},
		"layers first":       {`{"layers":[` + desc(2, "") + `],"config":` + desc(1, "") + `,"schemaVersion":2}`, "", func(f Facts) bool { return strings.HasSuffix(f.Config.String(), "01") }},
		"index":              {list(3, ""), OCIIndex, func(f Facts) bool { return len(f.Children) == 3 && f.Config.IsZero() }},
		"empty index":        {list(0, ""), OCIIndex, func(f Facts) bool { return len(f.Children) == 0 }},
		"full index":         {list(provenance.MaxChildren, ""), OCIIndex, func(f Facts) bool { return len(f.Children) == provenance.MaxChildren }},
		"child twice":        {strings.Replace(list(2, ""), desc(2, ""), desc(1, ""), 1), OCIIndex, func(f Facts) bool { return len(f.Children) == 1 }},
		"good data":          {image(`,"subject":{"digest":"` + hello + `","size":5` + data + `}`), "", nil},
		"docker list":        {strings.Replace(list(1, ""), OCIIndex, DockerIndex, 1), DockerIndex, nil},
		"sha512 descriptor":  {image(`,"subject":{"digest":"sha512:` + strings.Repeat("a", 128) + `","size":1}`), "", nil},
		"trailing new lines": {image("") + "\n\n", OCIManifest, nil},
		"deep enough":        {image(`,"a":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1)), "", nil},
	} {
		self := self
		if name == "full index" {
			self = provenance.Digest{} // one of the children has the test's digest
		}
		facts, err := read([]byte(c.body), c.contentType, self)
		if err != nil || facts.Size != int64(len(c.body)) || (c.check != nil && !c.check(facts)) {
			t.Errorf("%s: %+v, %v", name, facts, err)
		}
	}

	for name, c := range map[string]struct{ body, contentType string }{
		"not JSON":          {"hello", OCIManifest},
		"empty":             {"", OCIManifest},
		"a list":            {"[]", OCIManifest},
		"null":              {"null", OCIManifest},
		"second document":   {image("") + "{}", OCIManifest},
		"NUL after":         {image("") + "\x00", OCIManifest},
		"not UTF-8":         {image(",\"a\":\"\xff\""), OCIManifest},
		"BOM":               {"\ufeff" + image(""), OCIManifest},
		"unknown escape":    {image(`,"a":"\q"`), OCIManifest},
		"cut escape":        {image(`,"a":"\u12"`), OCIManifest},
		"control":           {image(",\"a\":\"\t\""), OCIManifest},
		"leading zero":      {image(`,"a":01`), OCIManifest},
		"plus":              {image(`,"a":+1`), OCIManifest},
		"minus":             {image(`,"a":-`), OCIManifest},
		"point":             {image(`,"a":1.`), OCIManifest},
		"exponent":          {image(`,"a":1e`), OCIManifest},
		"longer word":       {image(`,"a":nullx`), OCIManifest},
		"comma at the end":  {strings.Replace(image(""), "]", ",]", 1), OCIManifest},
		"no colon":          {image(`,"a" 1`), OCIManifest},
		"no quotes":         {image(`,a:1`), OCIManifest},
		"comma first":       {"{," + image("")[1:], OCIManifest},
		"key twice":         {image(`,"layers":[]`), OCIManifest},
		"case twins":        {image(`,"Layers":[]`), OCIManifest},
		"another case":      {strings.Replace(image(""), `"layers"`, `"LAYERS"`, 1), OCIManifest},
		"escaped twin":      {image(`,"l\u0061yers":[]`), OCIManifest},
		"long s twin":       {image(",\"layer\u017f\":[]"), OCIManifest},
		"twin in a layer":   {strings.Replace(image(""), `"size":7`, `"size":7,"Digest":"x"`, 1), OCIManifest},
		"twice in a layer":  {strings.Replace(image(""), `"size":7`, `"size":7,"size":7`, 1), OCIManifest},
		"deep":              {image(`,"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)), OCIManifest},
		"one too deep":      {image(`,"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)), OCIManifest},
		"deep objects":      {image(`,"a":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)), OCIManifest},
		"other type":        {image(""), OCIIndex},
		"docker for OCI":    {image(""), DockerManifest},
		"null for a type":   {strings.Replace(image(""), `"`+OCIManifest+`"`, "null", 1), ""},
		"unknown type":      {strings.Replace(image(""), OCIManifest, "application/x", 1), "application/x"},
		"schema 1 in 2":     {image(`,"fsLayers":[]`), OCIManifest},
		"schema version":    {strings.Replace(image(""), `"schemaVersion":2`, `"schemaVersion":1`, 1), OCIManifest},
		"version as a text": {strings.Replace(image(""), `"schemaVersion":2`, `"schemaVersion":"2"`, 1), OCIManifest},
		"version 2.0":       {strings.Replace(image(""), `"schemaVersion":2`, `"schemaVersion":2.0`, 1), OCIManifest},
		"no schema version": {strings.Replace(image(""), `"schemaVersion":2,`, "", 1), OCIManifest},
		"image and index":   {image(`,"manifests":[]`), OCIManifest},
		"index and image":   {list(1, `,"layers":[]`), OCIIndex},
		"both, untyped":     {strings.Replace(image(`,"manifests":[]`), `"mediaType":"`+OCIManifest+`",`, "", 1), ""},
		"index with config": {list(1, `,"config":`+desc(1, "")), OCIIndex},
		"index of nothing":  {`{"schemaVersion":2,"mediaType":"` + OCIIndex + `"}`, OCIIndex},
		"null manifests":    {`{"schemaVersion":2,"mediaType":"` + OCIIndex + `","manifests":null}`, OCIIndex},
		"null child":        {strings.Replace(list(1, ""), desc(1, ""), "null", 1), OCIIndex},
		"no config":         {`{"schemaVersion":2,"mediaType":"` + OCIManifest + `","layers":[]}`, OCIManifest},
		"null config":       {`{"schemaVersion":2,"mediaType":"` + OCIManifest + `","config":null,"layers":[]}`, OCIManifest},
		"null layers":       {`{"schemaVersion":2,"mediaType":"` + OCIManifest + `","config":` + desc(1, "") + `,"layers":null}`, OCIManifest},
		"no layers key":     {`{"schemaVersion":2,"mediaType":"` + OCIManifest + `","config":` + desc(1, "") + `}`, OCIManifest},
		"negative size":     {strings.Replace(image(""), `"size":7`, `"size":-1`, 1), OCIManifest},
		"negative layer":    {strings.Replace(image(""), desc(2, ""), strings.Replace(desc(2, ""), "7", "-7", 1), 1), OCIManifest},
		"2^63":              {strings.Replace(image(""), `"size":7`, `"size":9223372036854775808`, 1), OCIManifest},
		"size 1e999":        {strings.Replace(image(""), `"size":7`, `"size":1e999`, 1), OCIManifest},
		"bad digest":        {strings.Replace(image(""), "sha256:", "SHA256:", 1), OCIManifest},
		"no digest":         {image(`,"subject":{"size":1}`), OCIManifest},
		"md5":               {image(`,"subject":{"digest":"md5:` + strings.Repeat("a", 32) + `","size":1}`), OCIManifest},
		"config is a layer": {strings.Replace(image(""), desc(2, ""), desc(1, ""), 1), OCIManifest},
		"layer is config":   {`{"layers":[` + desc(1, "") + `],"config":` + desc(1, "") + `,"schemaVersion":2}`, ""},
		"own layer":         {strings.Replace(image(""), desc(2, ""), desc(99, ""), 1), OCIManifest},
		"own config":        {strings.Replace(image(""), desc(1, ""), desc(99, ""), 1), OCIManifest},
		"own child":         {list(99, ""), OCIIndex},
		"own subject":       {image(`,"subject":` + desc(99, "")), OCIManifest},
		"257 children":      {list(provenance.MaxChildren+1, ""), OCIIndex},
		"wrong data":        {image(`,"subject":{"digest":"` + emptyJSON + `","size":5` + data + `}`), OCIManifest},
		"wrong data size":   {image(`,"subject":{"digest":"` + hello + `","size":6` + data + `}`), OCIManifest},
		"data no base64":    {image(`,"subject":{"digest":"` + hello + `","size":5,"data":"%"}`), OCIManifest},
		"artifact type":     {image(`,"artifactType":"not a type"`), OCIManifest},
		"long artifact":     {image(`,"artifactType":"a/` + strings.Repeat("b", 300) + `"`), OCIManifest},
		"too large":         {image(`,"a":"` + strings.Repeat("b", provenance.MaxManifest) + `"`), OCIManifest},
		"layers for ever":   {`{"layers":[` + strings.Repeat(desc(2, "")+",", maxLayers) + desc(2, "") + `],"config":` + desc(1, "") + `,"schemaVersion":2}`, ""},
	} {
		if facts, err := read([]byte(c.body), c.contentType, self); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %+v, %v; want Invalid", name, facts, err)
		}
	}
}

// A document is read alike wherever its members stand, however it is spaced and
// whatever else it says.
func TestOrderAndSpaceSayNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2026))
	for range 2000 {
		index := r.IntN(2) == 0
		members := map[string]string{"schemaVersion": "2", "annotations": `{"a":"b","a":"c"}`, "later": pick(r, "1", `[{"layers":1},{"config":[]}]`, `"x"`, "null")}
		var want Facts
		if index {
			want.MediaType = pick(r, OCIIndex, DockerIndex)
			n := r.IntN(5)
			var children []string
			for i := range n {
				if r.IntN(3) == 0 {
					children = append(children, strings.Replace(desc(i+10, ""), "application/x", pick(r, OCIIndex, DockerIndex, ""), 1))
					want.Children, want.Nested = append(want.Children, digest(t, i+10)), append(want.Nested, digest(t, i+10))
					continue
				}
				children = append(children, desc(i+10, pick(r, "", `,"platform":{"os":"linux"}`, `,"artifactType":"a/b"`)))
				want.Children = append(want.Children, digest(t, i+10))
			}
			members["manifests"] = "[" + strings.Join(children, ",") + "]"
		} else {
			want.MediaType, want.Config, want.ArtifactType = pick(r, OCIManifest, DockerManifest), digest(t, 1), "application/x"
			members["config"], members["layers"] = desc(1, ""), "["+desc(2, "")+","+desc(2, "")+"]"
		}
		members["mediaType"] = `"` + want.MediaType + `"`
		if r.IntN(2) == 0 {
			members["subject"], want.Subject = desc(3, ""), digest(t, 3)
		}
		if r.IntN(2) == 0 {
			members["artifactType"], want.ArtifactType = `"a/b"`, "a/b"
		}
		names := []string{}
		for name := range members {
			names = append(names, name)
		}
		slices.Sort(names)
		r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		space := func() string { return pick(r, "", "", " ", "\n\t", "\r\n  ") }
		var body strings.Builder
		for i, name := range names {
			if i > 0 {
				body.WriteString("," + space())
			}
			body.WriteString(`"` + name + `"` + space() + ":" + space() + members[name] + space())
		}
		text := space() + "{" + space() + body.String() + "}" + space()
		want.Size = int64(len(text))
		got, err := Hashed([]byte(text), provenance.SHA256Of([]byte(text)))
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(provenance.Digest{})); err != nil || diff != "" {
			t.Fatalf("%s: %v\n%s", text, err, diff)
		}
	}
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

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
		image(""), list(3, ""), image(`,"subject":` + desc(3, "")), image(`,"artifactType":"a/b"`), image(`,"a":"\q"`), image(`,"l\u0061ter":[1e5,-0]`), "{}", "[]", `{"a":1,"A":2}`,
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
	for name, body := range map[string]string{"image": imageOfOCI, "index": indexOfBuildx, "40 layers": large, "4 MiB of objects": hostile} {
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
