package intake

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindDistribution is the kind of connector that reads the notifications of
// CNCF distribution, versions 2.8 and 3, and of registries that embed it.
const KindDistribution = "distribution"

func distributionFormat(kind string) format {
	return format{
		kind: kind, parse: parseDistribution, types: isDistributionType, secret: inHeader, actors: true, weak: weakHeader,
		wide: true, // with includereferences an event repeats what its manifest lists, laid out in lines
	}
}

// isDistributionType knows the media types of the envelope: 2.8 says v1, 3 says
// v2, and the fields are the same.
func isDistributionType(mediaType string) bool {
	switch mediaType {
	case "application/vnd.docker.distribution.events.v1+json",
		"application/vnd.docker.distribution.events.v2+json",
		"application/json":
		return true
	}
	return false
}

// distributionEvent holds the fields we read. Version 2.8 leaves an absent
// value out and version 3 sends it empty: both read as "".
type distributionEvent struct {
	ID        string `json:"id"`
	Timestamp string `json:"timestamp"`
	Action    string `json:"action"`
	Target    struct {
		MediaType  string `json:"mediaType"`
		Digest     string `json:"digest"`
		Repository string `json:"repository"`
		URL        string `json:"url"`
		Tag        string `json:"tag"`
		// Of GitLab: a project or a namespace has another name.
		Rename struct {
			From string `json:"from"`
		} `json:"rename"`
		// What the manifest names, where the registry is told to say so
		// (includereferences); of an index, its platform images.
		References json.RawMessage `json:"references"`
	} `json:"target"`
	Request struct {
		Address   string `json:"addr"`
		Method    string `json:"method"`
		UserAgent string `json:"useragent"`
	} `json:"request"`
	Actor struct {
		Name string `json:"name"`
	} `json:"actor"`
}

// parseDistribution reads an envelope. The registry sends one event at a time
// and repeats it until it is taken, so that one which cannot be used must not
// be refused: whoever may push would silence the registry.
func parseDistribution(m message) (batch, error) {
	events, err := listIn(m.raw, "events", `{"events":[…]}, a distribution notification`)
	if err != nil {
		return batch{}, err
	}
	out := newBatch()
	for i, raw := range events {
		one := m.part(raw)
		if err := out.takeDistribution(one); err != nil {
			out.outcome(one, within(fmt.Sprintf("events[%d]", i), err))
		}
	}
	return out, nil
}

func (b *batch) takeDistribution(m message) error {
	var in distributionEvent
	// No more is asked of the rest than that it is JSON: references repeat what
	// the author of a manifest wrote, who could hide a push behind a number.
	if err := decodeChecked(m.one, &in, "an event object with texts in its fields"); err != nil {
		return err
	}
	if reason := in.ignore(); reason != "" {
		b.ignored[reason]++
		return nil
	}
	// A retry carries the same event, perhaps laid out by another proxy
	// or in another envelope: hash the event alone, without white space.
	body, err := hashJSON(m.one)
	if err != nil {
		return err
	}
	c, err := in.report(m, body)
	if err != nil {
		return err
	}
	return b.add(m, c, body)
}

// ignore returns why the event is not recorded, or "". A sender chooses its
// own user agent, so ownTraffic excuses pulls only: nobody pushes or deletes unseen.
func (e *distributionEvent) ignore() string {
	switch e.Action {
	case "mount":
		return ignoredMount
	case "push", "pull":
		if e.isBlob() {
			return ignoredBlob
		}
		if e.Action == "pull" && strings.HasPrefix(e.Request.UserAgent, userAgent) {
			return ignoredOwn
		}
		if e.Action == "pull" && strings.EqualFold(e.Request.Method, "HEAD") {
			return ignoredHead
		}
	case "delete":
		if e.Target.Digest == provenance.SHA256Of(nil).String() {
			return ignoredBlob // of no bytes: no manifest has none
		}
	default:
		if e.Target.Repository == "" && e.Target.Rename.From == "" {
			return ignoredUnknown
		}
	}
	return ""
}

// isBlob tells a blob from a manifest. The last-but-one segment of the URL
// decides where there is one: "/blobs/" may also be part of a repository's
// name, and a push there must not pass for a layer.
func (e *distributionEvent) isBlob() bool {
	path, _, _ := strings.Cut(e.Target.URL, "?")
	if segments := strings.Split(path, "/"); len(segments) > 2 {
		switch segments[len(segments)-2] {
		case "blobs":
			return true
		case "manifests":
			return false
		}
	}
	mediaType := e.Target.MediaType
	return mediaType == "application/octet-stream" ||
		strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.") ||
		strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.") ||
		mediaType == "application/vnd.oci.image.config.v1+json" ||
		mediaType == "application/vnd.docker.container.image.v1+json"
}

// children lists the platform images of an index. What is malformed names
// none: it only keeps pulls from being coalesced.
func (e *distributionEvent) children() (out []provenance.Digest) {
	if !isIndex(e.Target.MediaType) {
		return nil
	}
	list := json.NewDecoder(bytes.NewReader(e.Target.References))
	if start, err := list.Token(); err != nil || start != json.Delim('[') {
		return nil
	}
	for list.More() && len(out) < provenance.MaxChildren {
		var r struct {
			Digest string `json:"digest"`
		}
		if err := list.Decode(&r); err != nil {
			return nil
		}
		if d, err := provenance.ParseDigest(r.Digest); err == nil {
			out = append(out, d)
		}
	}
	return out
}

func isIndex(mediaType string) bool {
	return mediaType == "application/vnd.oci.image.index.v1+json" || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
}

// report says the event in our words.
func (e *distributionEvent) report(m message, body [sha256.Size]byte) (report, error) {
	c := report{
		action:     provenance.Unknown, // a removed repository or a rename among them
		repository: value{"target.repository", e.Target.Repository},
		digest:     value{"target.digest", e.Target.Digest},
		tag:        value{"target.tag", e.Target.Tag},
		actor:      e.Actor.Name, agent: e.Request.UserAgent, at: e.Timestamp,
		address: e.Request.Address,
	}
	if c.repository.text == "" && e.Target.Rename.From != "" {
		c.repository = value{"target.rename.from", e.Target.Rename.From}
	}
	switch {
	case e.Action == "push":
		c.action = provenance.Push
	case e.Action == "pull":
		c.action, c.index, c.children = provenance.Pull, isIndex(e.Target.MediaType), e.children()
	case e.Action == "delete" && e.Target.Tag != "":
		c.action = provenance.TagDelete
	case e.Action == "delete":
		// Perhaps a blob: distribution reports both alike. The ledger knows
		// which digests are images.
		c.action = provenance.Delete
	}
	// The registry's own id, the same on every retry; without one, the event's bytes.
	if e.ID == "" {
		c.id = m.id("body", hex.EncodeToString(body[:]))
		return c, nil
	}
	c.id = m.id(e.ID)
	return c, idText("id", e.ID)
}
