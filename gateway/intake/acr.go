package intake

import (
	"crypto/sha256"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindACR is the kind of connector that reads the webhooks of Azure Container
// Registry itself. Azure tries each once; Event Grid (KindEventGrid) retries.
const KindACR = "acr"

func acrFormat() format {
	return format{kind: KindACR, parse: parseACR, types: isJSON, secret: inHeader, weak: weakHeader}
}

// acrEvent is a webhook's body, and the data of an event of Event Grid.
type acrEvent struct {
	ID        string `json:"id"`
	Timestamp string `json:"timestamp"`
	Action    string `json:"action"`
	Target    *struct {
		Digest     string `json:"digest"`
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
	} `json:"target"` // a ping has none
	Request *struct {
		Host      string `json:"host"`
		UserAgent string `json:"useragent"`
	} `json:"request"`
	Actor struct {
		Name string `json:"name"`
	} `json:"actor"`
}

// host is the name by which the registry was asked, "" where the event does not say.
func (e acrEvent) host() string {
	if e.Request == nil {
		return ""
	}
	return e.Request.Host
}

func parseACR(m message) (batch, error) {
	var in acrEvent
	const want = `{"id":…,"timestamp":…,"action":…,"target":{…}}, a notification of Azure Container Registry`
	if err := decode(m.raw, &in, want); err != nil {
		return batch{}, err
	}
	if err := marked(want, in.Action != "", in.Timestamp != ""); err != nil {
		return batch{}, err
	}
	if err := idText("id", in.ID); err != nil {
		return batch{}, err
	}
	body, err := hashJSON(m.raw)
	if err != nil {
		return batch{}, err
	}
	out := newBatch()
	if err := out.takeACR(m, in, m.id(in.ID), "", body); err != nil {
		return batch{}, err
	}
	return out, nil
}

// takeACR adds what Azure says happened; in is where it stands in the body.
func (b *batch) takeACR(m message, e acrEvent, id provenance.EventID, in string, body [sha256.Size]byte) error {
	action := strings.ToLower(e.Action)
	switch action {
	case "ping", "chart_push", "chart_delete": // a test; charts of Helm 2, which are no OCI artifacts
		b.ignored[ignoredOther]++
		return nil
	}
	if e.Target == nil {
		return provenance.Errorf(provenance.Invalid, "%starget: is missing", in)
	}
	c := report{
		id: id, at: e.Timestamp, actor: e.Actor.Name,
		repository: value{in + "target.repository", e.Target.Repository},
		digest:     value{in + "target.digest", e.Target.Digest}, tag: value{in + "target.tag", e.Target.Tag},
	}
	if e.Request != nil {
		c.agent = e.Request.UserAgent
	}
	switch action {
	case "push":
		c.action = provenance.Push
	case "delete":
		return b.addDeleted(m, c, body)
	default: // quarantine among them
		b.addUnknown(m, c, body)
		return nil
	}
	return b.add(m, c, body)
}
