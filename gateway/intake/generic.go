package intake

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindGeneric is the kind of connector for senders that were written for this
// hook: plain JSON or a structured CloudEvent, signed with its time.
const KindGeneric = "generic"

// SignatureHeader carries "sha256=" and the hexadecimal HMAC-SHA256, with the
// connector's secret as key, of TimestampHeader's value, a '.' and the body.
const SignatureHeader = "X-Waybill-Signature"

// genericType opens the type of a CloudEvent; the action follows.
const genericType = "dev.waybill.image."

func genericFormat() format {
	return format{
		kind: KindGeneric, parse: parseGeneric, types: isJSONOrCloudEvent, origins: true, actors: true,
		sign: &signature{header: SignatureHeader, prefix: "sha256=", hash: sha256.New, stamped: true},
	}
}

// genericEvent is the body, and the data of a CloudEvent, which says id, action
// and time in its attributes instead. Fields that are not listed are refused:
// the format is ours, and a misspelt one would be lost in silence.
type genericEvent struct {
	ID         string `json:"id"`
	Action     string `json:"action"` // push, pull, delete, tag-delete; others are kept as unknown
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"` // a push with a tag may leave it out
	Actor      string `json:"actor"`
	UserAgent  string `json:"userAgent"`
	OccurredAt string `json:"occurredAt"` // RFC 3339
}

func parseGeneric(m message) (batch, error) {
	if err := checkJSON(m.raw); err != nil {
		return batch{}, err
	}
	if hasContext(m.header) { // headers are not signed
		return batch{}, provenance.Errorf(provenance.Invalid, "want a structured CloudEvent: ce- headers are not covered by the signature")
	}
	read := genericJSON
	if m.mediaType == typeCloudEvent {
		read = genericCloudEvent
	}
	e, key, err := read(m)
	if err != nil {
		return batch{}, err
	}
	body, err := hashJSON(m.raw)
	if err != nil {
		return batch{}, err
	}
	c := report{
		id: m.id(key...), resolve: true, actor: e.Actor, agent: e.UserAgent, at: e.OccurredAt,
		repository: value{"repository", e.Repository}, tag: value{"tag", e.Tag}, digest: value{"digest", e.Digest},
	}
	if e.Action == provenance.Delete.String() && e.Digest != "" && e.Tag != "" {
		// The image, in our own format's word: not for the tag's sake (see delivery.IfGone).
		if _, err := provenance.ParseTag(e.Tag); err != nil {
			return batch{}, within("tag", err)
		}
		c.tag = value{}
	}
	out := newBatch()
	if c.action.UnmarshalText([]byte(e.Action)) != nil || c.action == provenance.Unknown {
		out.addUnknown(m, c, body)
	} else {
		err = out.add(m, c, body)
	}
	if err != nil {
		return batch{}, err
	}
	return out, nil
}

func genericJSON(m message) (genericEvent, []string, error) {
	e, err := genericData(m.raw)
	if err == nil && e.Action == "" {
		err = foreign("action: is missing")
	}
	if err == nil {
		err = idText("id", e.ID)
	}
	return e, []string{e.ID}, err
}

func genericCloudEvent(m message) (genericEvent, []string, error) {
	in, err := structuredEvent(m.raw)
	if err != nil {
		return genericEvent{}, nil, err
	}
	if err := m.origin("source", in.Source); err != nil {
		return genericEvent{}, nil, err
	}
	action, ok := strings.CutPrefix(in.Type, genericType)
	if !ok {
		return genericEvent{}, nil, foreign("type %q: want %s and an action", clipText(in.Type), genericType)
	}
	e, err := genericData(in.Data)
	if err != nil {
		return genericEvent{}, nil, err
	}
	if e.ID != "" || e.Action != "" || e.OccurredAt != "" {
		return genericEvent{}, nil, provenance.Errorf(provenance.Invalid, "data: id, action and occurredAt stand in the event's attributes")
	}
	e.Action, e.OccurredAt = action, in.Time
	return e, []string{in.Source, in.ID}, nil
}

func genericData(raw []byte) (e genericEvent, err error) {
	if err := checkNames(raw, &e); err != nil {
		return e, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil || bytes.TrimSpace(raw)[0] != '{' {
		return e, foreign("body: want an object with id, action, repository, tag, digest, actor, userAgent, occurredAt, all texts, and no other field")
	}
	return e, nil
}
