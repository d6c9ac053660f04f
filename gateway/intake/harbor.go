package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindHarbor is the kind of connector that reads the webhooks of Harbor 2, in
// either payload format of a policy: Default and CloudEvents.
const KindHarbor = "harbor"

func harborFormat() format {
	return format{
		kind: KindHarbor, parse: parseHarbor, types: isJSONOrCloudEvent, secret: inHeader, origins: true, actors: true, weak: weakHeader,
	}
}

// harborData is event_data of the default format, data of a CloudEvent.
type harborData struct {
	Resources []struct {
		Digest string `json:"digest"`
		Tag    string `json:"tag"` // the digest again where none was given
	} `json:"resources"`
	Repository struct {
		FullName string `json:"repo_full_name"`
	} `json:"repository"`
}

// harborEvent is what both formats say.
type harborEvent struct {
	data     harborData
	kind     string // the type as sent
	field    string // of data, in the body
	operator string
	at       time.Time
	body     [sha256.Size]byte
	id       func(digest, tag string) []string // of one resource
}

func parseHarbor(m message) (batch, error) {
	var e harborEvent
	var err error
	if m.mediaType == typeCloudEvent {
		e, err = harborCloudEvent(m)
	} else {
		e, err = harborDefault(m)
	}
	if err != nil {
		return batch{}, err
	}
	out := newBatch()
	switch action, about := harborAction(e.kind); about {
	case aboutOther:
		out.ignored[ignoredOther]++
	case aboutNothing:
		c := report{id: m.id(e.id("", "")...), repository: value{text: e.data.Repository.FullName}, actor: e.operator, atTime: e.at}
		out.addUnknown(m, c, e.body)
	default:
		err = e.images(m, action, &out)
	}
	if err != nil {
		return batch{}, err
	}
	return out, nil
}

// images adds an event for each resource.
func (e harborEvent) images(m message, action provenance.Action, out *batch) error {
	if n := len(e.data.Resources); n == 0 || n > maxEvents {
		return provenance.Errorf(provenance.Invalid, "%s.resources: %d of them; want 1 to %d", e.field, n, maxEvents)
	}
	for i, r := range e.data.Resources {
		at := fmt.Sprintf("%s.resources[%d]", e.field, i)
		c := report{
			action: action, id: m.id(e.id(r.Digest, r.Tag)...),
			repository: value{e.field + ".repository.repo_full_name", e.data.Repository.FullName},
			digest:     value{at + ".digest", r.Digest}, reference: value{at + ".tag", r.Tag},
			actor: e.operator, atTime: e.at,
		}
		tagged := r.Tag != "" && !strings.Contains(r.Tag, ":")
		if action == provenance.Delete && r.Digest != "" && tagged {
			// The image went and its tag with it (Harbor names one of perhaps
			// several): two facts.
			gone := c
			gone.id, gone.reference = m.id(append(e.id(r.Digest, r.Tag), "image")...), value{}
			out.outcome(m, out.add(m, gone, e.body))
			c.action = provenance.TagDelete
		}
		out.outcome(m, out.add(m, c, e.body))
	}
	return nil
}

// harborDefault reads the default format. It has no id: retries resend the same
// bytes, and occur_at in them tells two pushes of different seconds apart.
func harborDefault(m message) (harborEvent, error) {
	var in struct {
		Type     string      `json:"type"`
		OccurAt  json.Number `json:"occur_at"`
		Operator string      `json:"operator"`
		Data     harborData  `json:"event_data"`
	}
	const want = `{"type":…,"occur_at":…,"event_data":{…}}, a Harbor notification`
	if err := decode(m.raw, &in, want); err != nil {
		return harborEvent{}, err
	}
	if err := marked(want, in.Type != "", in.OccurAt != ""); err != nil {
		return harborEvent{}, err
	}
	body, err := hashJSON(m.raw)
	return harborEvent{
		data: in.Data, kind: in.Type, field: "event_data", operator: in.Operator, at: unixTime(in.OccurAt, m.now), body: body,
		id: func(digest, tag string) []string {
			return []string{"body", hex.EncodeToString(body[:]), in.Type, in.OccurAt.String(), digest, tag}
		},
	}, err
}

// harborCloudEvent reads the CloudEvents format, whose id outlives retries. It
// differs from policy to policy: one policy per repository is enough.
func harborCloudEvent(m message) (harborEvent, error) {
	in, err := cloudEventOf(m)
	if err != nil {
		return harborEvent{}, err
	}
	if err := m.origin("source", in.Source); err != nil {
		return harborEvent{}, err
	}
	e := harborEvent{kind: in.Type, field: "data", operator: in.Operator, at: occurredAt(in.Time, m.now), body: in.body}
	if err := decodeChecked(in.Data, &e.data, "data of a Harbor event"); err != nil {
		return harborEvent{}, err
	}
	if !strings.HasPrefix(in.Type, "harbor.") {
		return harborEvent{}, foreign("type %q: want an event of Harbor", clipText(in.Type))
	}
	several := len(e.data.Resources) > 1
	e.id = func(digest, tag string) []string {
		if several { // Harbor sends one
			return []string{in.ID, strconv.Itoa(len(e.data.Resources)), digest, tag}
		}
		return []string{in.ID}
	}
	return e, nil
}

// about tells what an event is about.
type about uint8

const (
	aboutNothing about = iota // nothing that we know
	aboutImage
	aboutOther
)

// harborAction knows Harbor's types (src/pkg/notification, event topics) in
// both formats.
func harborAction(kind string) (provenance.Action, about) {
	switch kind {
	case "PUSH_ARTIFACT", "harbor.artifact.pushed":
		return provenance.Push, aboutImage
	case "PULL_ARTIFACT", "harbor.artifact.pulled":
		return provenance.Pull, aboutImage
	case "DELETE_ARTIFACT", "harbor.artifact.deleted":
		return provenance.Delete, aboutImage
	case "UPLOAD_CHART", "DOWNLOAD_CHART", "DELETE_CHART", // of Helm 2, which are no OCI artifacts
		"QUOTA_EXCEED", "QUOTA_WARNING", "SCANNING_FAILED", "SCANNING_STOPPED", "SCANNING_COMPLETED", "REPLICATION", "TAG_RETENTION",
		"harbor.quota.exceeded", "harbor.quota.warned", "harbor.scan.failed", "harbor.scan.stopped", "harbor.scan.completed",
		"harbor.replication.status.changed", "harbor.tag_retention.finished":
		return 0, aboutOther
	}
	return 0, aboutNothing
}
