package manifest

import (
	"encoding/base64"
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

func members(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`"a%d":""`, i)
	}
	return strings.Join(all, ",")
}

func digest(t testing.TB, i int) provenance.Digest {
	t.Helper()
	d, err := provenance.ParseDigest(fmt.Sprintf("sha256:%064x", i))
	if err != nil {
		t.Fatal(err)
	}
	return d
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
		"unknown twins":      {image(`,"later":1,"Later":2`), OCIManifest, nil},
		"annotation twins":   {image(`,"annotations":{"Name":"rhel7/rhel","name":"octo/www","نمی` + "\u200c" + `شود":""}`), OCIManifest, nil},
		"every JSON":         {image(`,"a":[0,-1.5e+3,1E9,true,false,null,"\u00e9\n\\\"\/",[],{},[[]],{"b":{}}]`), "", nil},
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
		"names enough":       {image(`,"annotations":{` + members(maxNames) + `}`), "", nil},
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
		"unknown twice":     {image(`,"later":1,"later":2`), OCIManifest},
		"annotation twice":  {image(`,"annotations":{"a":"b","\u0061":"c"}`), OCIManifest},
		"lone surrogate":    {image(`,"annotations":{"a":"\ud83d"}`), OCIManifest},
		"U+0000":            {image(`,"annotations":{"a":"\u0000"}`), OCIManifest},
		"minus zero":        {image(`,"a":-0`), OCIManifest},
		"2^53":              {strings.Replace(image(""), `"size":7`, `"size":9007199254740992`, 1), OCIManifest},
		"2^53 elsewhere":    {image(`,"a":[9007199254740992]`), OCIManifest},
		"1e999 elsewhere":   {image(`,"a":1e999`), OCIManifest},
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
		"names for ever":    {image(`,"annotations":{` + members(maxNames+1) + `}`), OCIManifest},
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
		members := map[string]string{"schemaVersion": "2", "annotations": `{"a":"b","A":"c"}`, "later": pick(r, "1", `[{"layers":1},{"config":[]}]`, `"x"`, "null")}
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
