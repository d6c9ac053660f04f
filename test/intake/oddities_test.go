package intake

import (
	"fmt"
	"net/http"
	"strings"
)

// oddity is something whoever may push can do, and what the hook is then told.
type oddity struct {
	name string
	do   func(c *client)
	// unusable: the event that follows cannot be used by the versions named, "3" or
	// "2", and has to be kept.
	unusable string
}

func oddities() []oddity {
	return append(append(blobOddities(), manifestOddities()...), clientOddities()...)
}

func blobOddities() []oddity {
	remove := func(algorithm, body string) func(c *client) {
		return func(c *client) {
			c.call(http.MethodDelete, "/v2/team/app/blobs/"+c.blob("team/app", algorithm, []byte(body)), nil)
		}
	}
	return []oddity{
		{name: "the empty blob, deleted", do: remove("sha256", "")},
		{name: "a sha384 blob, deleted", do: remove("sha384", "a"), unusable: "23"},
		{name: "a sha512 blob, deleted", do: remove("sha512", "b")},
		{name: "the empty sha512 blob, deleted", do: remove("sha512", "")},
		{name: "a blob, deleted", do: remove("sha256", "c")},
		{name: "a blob that is not there, deleted", do: func(c *client) {
			c.call(http.MethodDelete, "/v2/team/app/blobs/"+digestOf([]byte("never")), nil)
		}},
		{name: "a blob, mounted", do: func(c *client) {
			d := c.blob("team/app", "sha256", []byte("m"))
			c.call(http.MethodPost, "/v2/team/other/blobs/uploads/?mount="+d+"&from=team/app", nil)
		}},
		{name: "a sha384 blob, mounted", do: func(c *client) {
			d := c.blob("team/app", "sha384", []byte("m"))
			c.call(http.MethodPost, "/v2/team/other/blobs/uploads/?mount="+d+"&from=team/app", nil)
		}},
		{name: "a blob, asked for with HEAD", do: func(c *client) {
			c.call(http.MethodHead, "/v2/team/app/blobs/"+c.blob("team/app", "sha256", []byte("h")), nil)
		}},
		{name: "a blob, read in parts", do: func(c *client) {
			c.call(http.MethodGet, "/v2/team/app/blobs/"+c.blob("team/app", "sha256", []byte("range")), nil, "Range", "bytes=1-2")
		}},
		{name: "an upload that is given up", do: func(c *client) {
			_, h := c.answer(http.MethodPost, "/v2/team/app/blobs/uploads/", nil)
			c.call(http.MethodDelete, h.Get("Location"), nil)
		}},
		{name: "a sha384 blob of a repository outside, deleted", do: func(c *client) {
			c.call(http.MethodDelete, "/v2/elsewhere/app/blobs/"+c.blob("elsewhere/app", "sha384", []byte("o")), nil)
		}},
	}
}

func manifestOddities() []oddity {
	push := func(tag string, change func(m object)) func(c *client) {
		return func(c *client) { c.put("/v2/team/app/manifests/"+tag, typeManifest, c.image("team/app", change)) }
	}
	replaced := func(tag, text string, change func(m object)) func(c *client) {
		return func(c *client) {
			c.put("/v2/team/app/manifests/"+tag, typeManifest, raw(c.image("team/app", change), `"MARK"`, text))
		}
	}
	annotated := func(a object) func(m object) {
		return func(m object) { m["annotations"], layer(m)["annotations"] = a, a }
	}
	many := func(n int, one any) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = one
		}
		return out
	}
	keys := func(n int) object {
		out := object{}
		for i := range n {
			out[fmt.Sprintf("org.example.key-%04d", i)] = "v"
		}
		return out
	}
	digest := digestOf([]byte("a layer"))
	layers := func(n int) func(m object) {
		return func(m object) { m["layers"] = many(n, object{"mediaType": typeLayer, "digest": digest, "size": 7}) }
	}
	index := func(tag, mediaType string, manifests func(c *client, child object) []any) func(c *client) {
		return func(c *client) {
			child := c.image("team/app", nil)
			c.put("/v2/team/app/manifests/"+digestOf(child), typeManifest, child)
			one := object{"mediaType": typeManifest, "digest": digestOf(child), "size": len(child), "platform": object{"os": "linux", "architecture": "amd64"}}
			c.put("/v2/team/app/manifests/"+tag, mediaType, encode(c.t, object{"schemaVersion": 2, "mediaType": mediaType, "manifests": manifests(c, one)}))
		}
	}
	return []oddity{
		{name: "annotations that differ in case", do: push("odd-case", annotated(object{"org.example.Name": "old", "org.example.name": "new"}))},
		{name: "annotations named as fields", do: push("odd-fields", annotated(object{"digest": "a", "Digest": "b", "tag": "c", "TAG": "d", "repository": "e", "Repository": "f", "action": "g", "ID": "h", "id": "i"}))},
		{name: "257 annotations", do: push("odd-257", annotated(keys(257)))},
		{name: "4,000 annotations", do: push("odd-4000", annotated(keys(4000)))},
		{name: "an annotation without a name", do: push("odd-noname", annotated(object{"": ""}))},
		{name: "an annotation of NUL", do: push("odd-nul", annotated(object{"a": "\x00"}))},
		{name: "an annotation of half a character", do: replaced("odd-half", `"\ud800"`, annotated(object{"a": "MARK"}))},
		{name: "an annotation that turns writing round", do: push("odd-bidi", annotated(object{"a\u202e": "\u202eb\u200b\u2028"}))},
		{name: "an annotation of broken bytes", do: replaced("odd-bytes", "\"\xff\xfe\"", annotated(object{"a": "MARK"}))},
		{name: "an annotation twice", do: replaced("odd-twice", `"1","a":"2"`, annotated(object{"a": "MARK"}))},
		{name: "an annotation of 300 KB", do: push("odd-300k", annotated(object{"a": strings.Repeat("x", 300<<10)}))},
		{name: "an annotation that grows six times", do: push("odd-escaped", func(m object) { layer(m)["annotations"] = object{"a": strings.Repeat("<", 600<<10)} })},
		{name: "a size beyond 2^53", do: replaced("odd-size", "9007199254740993", func(m object) { layer(m)["size"] = "MARK" })},
		{name: "a size below zero", do: push("odd-negative", func(m object) { layer(m)["size"] = -1 })},
		{name: "a size with an exponent", do: replaced("odd-exponent", "1e400", func(m object) { layer(m)["size"] = "MARK" })},
		{name: "a media type of 100 KB", do: push("odd-type", func(m object) { layer(m)["mediaType"] = strings.Repeat("m", 100<<10) })},
		{name: "an artifact type that is none", do: push("odd-artifact", func(m object) { m["artifactType"] = "\u0001/\u202e" })},
		{name: "a subject that is not there", do: push("odd-subject", func(m object) {
			m["subject"] = object{"mediaType": typeManifest, "digest": digestOf([]byte("gone")), "size": 1}
		})},
		{name: "500 layers", do: push("odd-layers", layers(500))},
		{name: "an event of 1.4 MB", do: push("odd-1400k", layers(4500))},
		{name: "a manifest of nearly 4 MiB", do: push("odd-4m", layers(25_000))},
		{name: "more values than anybody lists", do: push("odd-values", func(m object) { layer(m)["platform"] = object{"os.features": many(200_000, "")} })},
		{name: "an event larger than a body may be", do: push("odd-large", func(m object) { layer(m)["platform"] = object{"os.features": many(1_300_000, "")} }), unusable: "23"},
		{name: "deep platforms", do: index("odd-platform", typeIndex, func(_ *client, one object) []any {
			one["platform"] = object{"os": "linux", "architecture": "amd64", "os.features": many(500, "f"), "variant": strings.Repeat("v", 1000)}
			return []any{one}
		})},
		{name: "an index", do: index("odd-index", typeIndex, func(_ *client, one object) []any { return []any{one} })},
		{name: "an index of 1,000", do: index("odd-wide", typeIndex, func(_ *client, one object) []any { return many(1000, one) })},
		{name: "an index of nothing", do: index("odd-none", typeIndex, func(*client, object) []any { return []any{} })},
		{name: "an index of an index", do: index("odd-nested", typeIndex, func(c *client, one object) []any {
			inner := encode(c.t, object{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []any{one}})
			c.put("/v2/team/app/manifests/"+digestOf(inner), typeIndex, inner)
			return []any{object{"mediaType": typeIndex, "digest": digestOf(inner), "size": len(inner)}}
		})},
		{name: "an index of sha512 names", do: index("odd-sha512", typeIndex, func(_ *client, one object) []any {
			one["digest"] = "sha512:" + sum("sha512", []byte("x"))
			return []any{one}
		})},
		{name: "a list of the old kind", do: index("odd-list", typeList, func(_ *client, one object) []any {
			one["mediaType"] = typeDocker
			return []any{one}
		})},
		{name: "a manifest of the old kind", do: func(c *client) {
			c.put("/v2/team/app/manifests/odd-docker", typeDocker, c.image("team/app", func(m object) {
				m["mediaType"] = typeDocker
				m["config"].(object)["mediaType"] = "application/vnd.docker.container.image.v1+json"
				layer(m)["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
			}))
		}},
		{name: "a manifest that is none", do: func(c *client) { c.put("/v2/team/app/manifests/odd-none", typeManifest, []byte(`{`)) }},
		{name: "a manifest by its sha512", do: func(c *client) {
			m := c.image("team/app", annotated(object{"by": "sha512"}))
			c.put("/v2/team/app/manifests/sha512:"+sum("sha512", m), typeManifest, m)
		}},
		{name: "a manifest by its sha384, deleted", do: func(c *client) {
			m := c.image("team/app", annotated(object{"by": "sha384"}))
			c.put("/v2/team/app/manifests/sha384:"+sum("sha384", m), typeManifest, m)
			c.call(http.MethodDelete, "/v2/team/app/manifests/sha384:"+sum("sha384", m), nil)
		}},
	}
}

func clientOddities() []oddity {
	pull := func(method, tag string, headers ...string) func(c *client) {
		return func(c *client) {
			c.put("/v2/team/app/manifests/"+tag, typeManifest, c.image("team/app", nil))
			c.call(method, "/v2/team/app/manifests/"+tag, nil, append(headers, "Accept", typeManifest)...)
		}
	}
	into := func(repo, tag string) func(c *client) {
		return func(c *client) { c.put("/v2/"+repo+"/manifests/"+tag, typeManifest, c.image(repo, nil)) }
	}
	removed := func(repo string, by func(m []byte) string) func(c *client) {
		return func(c *client) {
			m := c.image(repo, func(m object) { m["annotations"] = object{"removed": by(nil)} })
			c.put("/v2/"+repo+"/manifests/odd-removed", typeManifest, m)
			for range 2 {
				c.call(http.MethodDelete, "/v2/"+repo+"/manifests/"+by(m), nil)
			}
		}
	}
	hex := strings.Repeat("ab", 32)
	return []oddity{
		{name: "a repository outside", do: into("elsewhere/app", "1")},
		{name: "a repository that looks like ours", do: into("team-b/app", "1")},
		{name: "a repository outside, deleted", do: removed("elsewhere/app", digestOf)},
		{name: "a repository of twelve parts", do: into("team/"+strings.Repeat("a/", 10)+"z", "1")},
		{name: "a repository of 250 characters", do: into("team/"+strings.Repeat("a", 245), "1")},
		{name: "a repository named blobs", do: into("team/blobs", "1")},
		{name: "a repository named as a manifest", do: into("team/manifests/blobs", "1")},
		{name: "a tag of 128 characters", do: into("team/app", strings.Repeat("t", 128))},
		{name: "a tag that begins with _", do: into("team/app", "_._-A")},
		{name: "a tag that is a digest's", do: into("team/app", "sha256-"+hex)},
		{name: "a tag of a signature", do: into("team/app", "sha256-"+hex+".sig")},
		{name: "the same push twice", do: func(c *client) { into("team/app", "odd-same")(c); into("team/app", "odd-same")(c) }},
		{name: "deleted by digest, twice", do: removed("team/gone", digestOf)},
		{name: "deleted by tag, twice", do: removed("team/gone", func([]byte) string { return "odd-removed" })},
		{name: "deleted and never there", do: func(c *client) { c.call(http.MethodDelete, "/v2/team/never/manifests/"+digestOf([]byte("n")), nil) }},
		{name: "asked for with HEAD", do: pull(http.MethodHead, "odd-head")},
		{name: "pulled", do: pull(http.MethodGet, "odd-pull")},
		{name: "pulled by who calls itself us", do: pull(http.MethodGet, "odd-us", "User-Agent", "waybill-gateway/1")},
		{name: "a user agent of 100 KB", do: pull(http.MethodGet, "odd-agent", "User-Agent", strings.Repeat("u", 100<<10))},
		{name: "a user agent of bytes", do: pull(http.MethodGet, "odd-agent-bytes", "User-Agent", "\xff\xfe\u202e\"<")},
		{name: "an address that is none", do: pull(http.MethodGet, "odd-address", "X-Forwarded-For", strings.Repeat("\"<", 4096))},
		{name: "a host that is none", do: pull(http.MethodGet, "odd-host", "Host", "blobs.example<>")},
		{name: "a host with a path in its name", do: func(c *client) {
			c.call(http.MethodPut, "/v2/team/app/manifests/odd-host-push", c.image("team/app", nil), "Content-Type", typeManifest, "X-Forwarded-Host", "evil/blobs/x?", "X-Forwarded-Proto", "ftp")
		}},
	}
}
