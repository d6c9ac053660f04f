package intake

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// userAgent opens the user agent of our own registry client. Registries report
// our read-back as a pull; recording it would feed on itself.
const userAgent = "waybill-gateway"

// Limits of what a payload says.
const (
	maxEvents = 10_000
	maxID     = 255 // bytes
)

// referrerTag is a tag under which registries without a referrers API keep
// signatures and attestations (OCI distribution specification, "Referrers Tag
// Schema", and cosign's suffixes).
var referrerTag = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.(sig|att|sbom))?$`)

// value is a text of a payload and the field it stands in.
type value struct{ field, text string }

// report is what a payload says of one event, in its own words.
type report struct {
	action     provenance.Action
	id         provenance.EventID
	repository value
	digest     value
	tag        value
	// reference may hold a tag or a digest; registries use one field for both.
	reference value
	// resolve: a push may come without a digest, to be looked up.
	resolve bool
	actor   string
	agent   string // user agent of whoever asked the registry
	address string // of whoever asked the registry, with or without a port
	// index was asked for; children are its platform images, where the payload tells.
	index    bool
	children []provenance.Digest
	at       string // RFC 3339
	atTime   time.Time
}

// event makes the domain's event of it. The facts of the manifest stay empty:
// they are read back from the registry's own bytes, not from its word.
func (c report) event(kind string, now time.Time) (provenance.Event, error) {
	digest, tag := c.digest, c.tag
	if strings.Contains(c.reference.text, ":") { // no tag holds a colon, every digest does
		if digest.text != "" && digest.text != c.reference.text {
			return provenance.Event{}, provenance.Errorf(provenance.Invalid, "%s: is not the digest in %s", c.reference.field, digest.field)
		}
		digest = c.reference
	} else if c.reference.text != "" {
		tag = c.reference
	}
	out := provenance.Event{ID: c.id, Action: c.action, Source: kind, Actor: provenance.CleanText(c.actor, provenance.MaxText), OccurredAt: occurredAt(c.at, now)}
	if !c.atTime.IsZero() {
		out.OccurredAt = plausible(c.atTime, now)
	}
	var err error
	if out.Repository, err = provenance.ParseRepository(c.repository.text); err != nil {
		return provenance.Event{}, within(c.repository.field, err)
	}
	if digest.text != "" {
		if out.Digest, err = provenance.ParseDigest(digest.text); err != nil {
			return provenance.Event{}, within(digest.field, err)
		}
		if out.Digest == provenance.SHA256Of(nil) {
			// No manifest has it, and it stands for "not known yet" elsewhere.
			return provenance.Event{}, provenance.Errorf(provenance.Invalid, "%s: is the hash of nothing", digest.field)
		}
	}
	if tag.text != "" {
		if out.Tag, err = provenance.ParseTag(tag.text); err != nil {
			return provenance.Event{}, within(tag.field, err)
		}
	}
	return out, checkEvent(&out, c.resolve)
}

// checkEvent tells whether the event may stand on the ledger, now or when its
// tag has been resolved. A deletion of neither tag nor image is kept as seen.
func checkEvent(e *provenance.Event, resolve bool) error {
	if e.Action == provenance.Delete && e.Digest.IsZero() {
		e.Action = provenance.Unknown
		if e.Tag != "" {
			e.Action = provenance.TagDelete
		}
	}
	if resolve && delivery.Unresolved(*e) {
		probe := *e
		probe.Digest = provenance.SHA256Of(nil)
		return probe.Check()
	}
	if (e.Action == provenance.Push || e.Action == provenance.Pull) && e.Digest.IsZero() {
		return provenance.Errorf(provenance.Invalid, "the digest is missing: a %s needs one", e.Action)
	}
	return e.Check()
}

// ownTraffic tells the echo of our own work. A sender chooses its own user agent, so
// that excuses pulls only: nobody pushes or deletes unseen. The account that an
// operator named as ours is also excused the referrer tags that it writes; the
// manifests behind them are events of their own and are recorded.
func (c *Connector) ownTraffic(e provenance.Event, agent string) bool {
	actor := c.OwnActor != "" && e.Actor == c.OwnActor
	switch e.Action {
	case provenance.Pull:
		return actor || strings.HasPrefix(agent, userAgent)
	case provenance.Push:
		return actor && referrerTag.MatchString(string(e.Tag))
	}
	return false
}

// idText checks a sender's own id of an event. A control character could close
// one part of the content key and open another.
func idText(field, id string) error {
	if id == "" || len(id) > maxID || !utf8.ValidString(id) || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return provenance.Errorf(provenance.Invalid, "%s: want 1 to %d bytes of printable text", field, maxID)
	}
	return nil
}

// occurredAt reads the registry's clock. It is a claim like the actor, so a
// missing or strange one is replaced rather than refused: a refusal would make
// the registry send the event for ever and hold up all that follow it. One that
// has not come yet is strange: an image from the future would never grow old,
// and the contract refuses it with all that stands beside it in a segment.
func occurredAt(timestamp string, now time.Time) time.Time {
	at, err := time.Parse(time.RFC3339Nano, timestamp)
	if err != nil {
		at = now
	}
	return plausible(at, now)
}

func plausible(at, now time.Time) time.Time {
	if at.Year() < 1970 || at.After(now) {
		at = now
	}
	return at.UTC().Truncate(time.Millisecond)
}

// unixTime reads seconds since 1970, or returns now.
func unixTime(n json.Number, now time.Time) time.Time {
	seconds, err := n.Float64()
	if err != nil || seconds <= 0 || seconds > 1<<37 {
		return now
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC()
}

// within names the field that an Invalid error is about, and says the code once.
func within(field string, err error) error {
	var ignored ignoredError
	if errors.As(err, &ignored) {
		return err
	}
	if isForeign(err) {
		return foreign("%s: %s", field, textOf(err))
	}
	return provenance.Errorf(provenance.CodeOf(err), "%s: %s", field, textOf(err))
}

// clipText cuts a text that an error quotes, at the end of a character.
func clipText(s string) string {
	limit := provenance.MaxText
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
