package intake

import (
	"crypto/sha1" // Nexus signs with nothing else; as a MAC it still holds
	"encoding/hex"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindNexus is the kind of connector that reads the repository webhooks of
// Sonatype Nexus 3: components, and assets that are manifests.
const KindNexus = "nexus"

// nexusWindow is within which time, by its clock, what Nexus says of one image by its
// digest is one push.
const nexusWindow = 2 * time.Minute

// nexusTime is Nexus's older layout: RFC 3339 but for the colon in the offset.
const nexusTime = "2006-01-02T15:04:05.000-0700"

func nexusFormat() format {
	return format{
		kind: KindNexus, parse: parseNexus, types: isJSON, actors: true, prefixes: true, mapped: true,
		sign: &signature{header: "X-Nexus-Webhook-Signature", hash: sha1.New},
		weak: "Nexus signs with HMAC-SHA1: nobody forges such a code today, but it is no algorithm to rely on for years",
	}
}

type nexusItem struct {
	Format  string `json:"format"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

// parseNexus reads a delivery. Its content key is the signed body, whose time
// has milliseconds; the delivery's id in the headers is not signed, and a body
// replayed under another id would be news.
func parseNexus(m message) (batch, error) {
	for _, id := range m.header.Values("X-Nexus-Webhook-Id") {
		if !strings.HasPrefix(strings.ToLower(id), "rm:repository:") {
			return ignoring(ignoredOther), nil // a repository was made, a user changed, and what else the hook was set up for
		}
	}
	var in struct {
		Timestamp  string     `json:"timestamp"`
		Initiator  string     `json:"initiator"` // user/address
		Repository string     `json:"repositoryName"`
		Action     string     `json:"action"`
		Component  *nexusItem `json:"component"`
		Asset      *nexusItem `json:"asset"`
	}
	const want = `{"timestamp":…,"repositoryName":…,"action":…,"component" or "asset":{…}}, a Nexus webhook`
	if err := decode(m.raw, &in, want); err != nil {
		return batch{}, err
	}
	item := in.Component
	if item == nil {
		item = in.Asset
	}
	if err := marked(want, in.Repository != "", item != nil); err != nil {
		return batch{}, err
	}
	if in.Action == "" || in.Component != nil && in.Asset != nil {
		return batch{}, provenance.Errorf(provenance.Invalid, "body: want %s", want)
	}
	body, err := hashJSON(m.raw)
	if err != nil {
		return batch{}, err
	}
	if ids := m.header.Values("X-Nexus-Webhook-Delivery"); len(ids) == 1 && ids[0] != "" {
		if err := m.dedup.once(clipText(ids[0]), body, m.now); err != nil {
			return batch{}, err
		}
	}
	if item.Format != "docker" {
		return ignoring(ignoredOther), nil
	}
	name, reference := value{"component.name", item.Name}, value{"component.version", item.Version}
	if in.Asset != nil {
		image, ref, ok := nexusAsset(item.Name)
		if !ok {
			return ignoring(ignoredBlob), nil
		}
		name, reference = value{"asset.name", image}, value{"asset.name", ref}
	}
	if name.text, err = m.connector.stored(in.Repository, name.text); err != nil {
		return batch{}, err
	}
	at, err := time.Parse(nexusTime, in.Timestamp)
	if err != nil {
		at = occurredAt(in.Timestamp, m.now) // versions since 3.28
	}
	user, _, _ := strings.Cut(in.Initiator, "/")
	out := newBatch()
	image := name.text + "\x1f" + reference.text
	switch in.Action {
	case "CREATED", "UPDATED":
		if strings.Contains(reference.text, ":") {
			// One upload again makes some 10 of them. Of a tag, the recorder asks whether
			// it moved; an image by its digest stays what it is.
			body = m.dedup.leader(image, user, body, at, nexusWindow)
		}
	case "DELETED", "PURGED":
		m.dedup.ended(image)
	}
	c := report{id: m.id("body", hex.EncodeToString(body[:])), repository: name, reference: reference, actor: user, atTime: at}
	switch in.Action {
	case "CREATED", "UPDATED":
		c.action, c.resolve = provenance.Push, true
		err = out.add(m, c, body)
	case "DELETED", "PURGED":
		c.action = provenance.Delete // of a tag, where reference is one
		err = out.add(m, c, body)
	default:
		out.addUnknown(m, c, body)
	}
	if err != nil {
		return batch{}, err
	}
	return out, nil
}

// nexusAsset takes the name of an asset apart: v2/<image>/manifests/<reference>,
// in newer versions with a slash before it. Everything else is a layer.
func nexusAsset(name string) (image, reference string, ok bool) {
	path, ok := strings.CutPrefix(strings.TrimPrefix(name, "/"), "v2/")
	if !ok {
		return "", "", false
	}
	i := strings.LastIndex(path, "/manifests/")
	if i < 0 || strings.Contains(path[i+len("/manifests/"):], "/") {
		return "", "", false
	}
	return path[:i], path[i+len("/manifests/"):], true
}
