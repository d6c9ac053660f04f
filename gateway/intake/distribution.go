package intake

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindDistribution is the kind of connector that reads the notifications of
// CNCF distribution, versions 2.8 and 3, and of registries that embed it.
const KindDistribution = "distribution"

// userAgent opens the user agent of our own registry client. Registries report
// our read-back as a pull; recording it would feed on itself.
const userAgent = "waybill-gateway"

// Limits of an envelope. Distribution sends one event per envelope; the format
// allows more.
const (
	maxEvents = 10_000
	maxActor  = 255 // bytes, provenance's own limit
	maxID     = 255 // bytes
)

// distributionTypes are the media types of the envelope: 2.8 says v1, 3 says
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
	} `json:"target"`
	Request struct {
		Method    string `json:"method"`
		UserAgent string `json:"useragent"`
	} `json:"request"`
	Actor struct {
		Name string `json:"name"`
	} `json:"actor"`
}

// Reasons for acknowledging an event without recording it.
const (
	ignoredBlob    = "blob"    // layers and configs; the manifest names them
	ignoredMount   = "mount"   // a blob again
	ignoredHead    = "head"    // somebody asked whether an image is there
	ignoredOwn     = "own"     // our read-back
	ignoredUnknown = "unknown" // an action we do not know, about no repository
)

// batch is what one request says.
type batch struct {
	events  []provenance.Event
	bodies  [][sha256.Size]byte // of the same index in events
	ignored map[string]int      // by reason
}

// parseDistribution reads an envelope. It is pure: now is the time of receipt,
// used where the registry gives none. Either every event of the envelope is
// good, or the error is Invalid and names the field.
func parseDistribution(raw []byte, connector string, now time.Time) (batch, error) {
	if err := checkJSON(raw); err != nil {
		return batch{}, err
	}
	var envelope struct {
		Events []json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(raw, &envelope); err != nil || envelope.Events == nil {
		return batch{}, provenance.Errorf(provenance.Invalid, `body: want {"events":[…]}, a distribution notification`)
	}
	if len(envelope.Events) > maxEvents {
		return batch{}, provenance.Errorf(provenance.Invalid, "events: %d of them, at most %d", len(envelope.Events), maxEvents)
	}
	out := batch{ignored: map[string]int{}}
	for i, message := range envelope.Events {
		var in distributionEvent
		if err := json.Unmarshal(message, &in); err != nil || message[0] != '{' {
			return batch{}, provenance.Errorf(provenance.Invalid, "events[%d]: want an event object with texts in its fields", i)
		}
		if reason := in.ignore(); reason != "" {
			out.ignored[reason]++
			continue
		}
		// A retry carries the same event, perhaps laid out by another proxy
		// or in another envelope: hash the event alone, without white space.
		var compact bytes.Buffer
		if err := json.Compact(&compact, message); err != nil {
			return batch{}, within(fmt.Sprintf("events[%d]", i), err)
		}
		body := sha256.Sum256(compact.Bytes())
		event, err := in.event(connector, body, now)
		if err != nil {
			return batch{}, within(fmt.Sprintf("events[%d]", i), err)
		}
		out.events = append(out.events, event)
		out.bodies = append(out.bodies, body)
	}
	return out, nil
}

// ignore returns why the event is not recorded, or "". A sender chooses its
// own user agent, so ours excuses pulls only: nobody pushes or deletes unseen.
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
	default:
		if e.Target.Repository == "" {
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

// event makes the domain's event of it. The facts of the manifest stay empty:
// they are read back from the registry's own bytes, not from its word.
func (e *distributionEvent) event(connector string, body [sha256.Size]byte, now time.Time) (provenance.Event, error) {
	out := provenance.Event{
		Source:     KindDistribution,
		Actor:      clipText(e.Actor.Name, maxActor),
		OccurredAt: occurredAt(e.Timestamp, now),
	}
	var err error
	if out.ID, err = e.id(connector, body); err != nil {
		return provenance.Event{}, err
	}
	if out.Repository, err = provenance.ParseRepository(e.Target.Repository); err != nil {
		return provenance.Event{}, within("target.repository", err)
	}
	if e.Target.Digest != "" {
		if out.Digest, err = provenance.ParseDigest(e.Target.Digest); err != nil {
			return provenance.Event{}, within("target.digest", err)
		}
	}
	if e.Target.Tag != "" {
		if out.Tag, err = provenance.ParseTag(e.Target.Tag); err != nil {
			return provenance.Event{}, within("target.tag", err)
		}
	}
	switch {
	case e.Action == "push":
		out.Action = provenance.Push
	case e.Action == "pull":
		out.Action = provenance.Pull
	case e.Action == "delete" && out.Tag != "":
		out.Action = provenance.TagDelete
	case e.Action == "delete" && !out.Digest.IsZero():
		// Perhaps a blob: distribution reports both alike. The ledger knows
		// which digests are images.
		out.Action = provenance.Delete
	default:
		out.Action = provenance.Unknown // a removed repository among them
	}
	if (out.Action == provenance.Push || out.Action == provenance.Pull) && out.Digest.IsZero() {
		return provenance.Event{}, provenance.Errorf(provenance.Invalid, "target.digest: a %s needs one", out.Action)
	}
	return out, out.Check()
}

// id is the registry's own id, the same on every retry; without one, the event's bytes.
func (e *distributionEvent) id(connector string, body [sha256.Size]byte) (provenance.EventID, error) {
	if e.ID == "" {
		return provenance.NewEventID(KindDistribution, connector, "body", hex.EncodeToString(body[:])), nil
	}
	// A control character could close one part of the id and open another.
	if len(e.ID) > maxID || strings.ContainsFunc(e.ID, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return provenance.EventID{}, provenance.Errorf(provenance.Invalid, "id: want at most %d bytes of printable text", maxID)
	}
	return provenance.NewEventID(KindDistribution, connector, e.ID), nil
}

// occurredAt reads the registry's clock. It is a claim like the actor, so a
// missing or strange one is replaced rather than refused: a refusal would make
// the registry send the event for ever and hold up all that follow it.
func occurredAt(timestamp string, now time.Time) time.Time {
	at, err := time.Parse(time.RFC3339Nano, timestamp)
	if err != nil || at.Year() < 1970 || at.Year() > 9999 {
		at = now
	}
	return at.UTC().Truncate(time.Millisecond)
}

// within names the field that an Invalid error is about, and says the code once.
func within(field string, err error) error {
	return provenance.Errorf(provenance.Invalid, "%s: %s", field, message(err))
}

// clipText cuts s to at most limit bytes, at the end of a character.
func clipText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
