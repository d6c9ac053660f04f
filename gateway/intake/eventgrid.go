package intake

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindEventGrid is the kind of connector that reads the events of Azure
// Container Registry as Azure Event Grid delivers them, in its own schema or as
// CloudEvents, and answers both of its validation handshakes.
const KindEventGrid = "acr-eventgrid"

const (
	eventGridTest   = "Microsoft.EventGrid.SubscriptionValidationEvent"
	eventGridPrefix = "Microsoft.ContainerRegistry."
)

var validationCode = regexp.MustCompile(`^[A-Za-z0-9-]{1,128}$`)

func eventGridFormat() format {
	return format{
		kind: KindEventGrid, parse: parseEventGrid, secret: inHeader | inURL, tokens: true, origins: true, handshake: true, actors: true,
		types: func(t string) bool { return isJSONOrCloudEvent(t) || t == typeCloudEvents },
		weak:  "the secret travels in a header or the address and does not cover the body; let Event Grid present Entra ID tokens (oidc) instead",
	}
}

// gridEvent is one event, whichever its schema.
type gridEvent struct {
	id, kind, topic, time string
	data                  json.RawMessage
	body                  [32]byte
}

func parseEventGrid(m message) (batch, error) {
	if name := m.header.Get("Aeg-Subscription-Name"); len(m.connector.Origins) > 0 {
		// Event Grid writes the name in capitals, whatever it was given.
		if !slices.ContainsFunc(m.connector.Origins, func(o string) bool { return strings.EqualFold(o, name) }) {
			return batch{}, provenance.Errorf(provenance.Forbidden, "header aeg-subscription-name: %q is not one of this connector's origins", clipText(name))
		}
	}
	events, read, err := gridEvents(m)
	if err != nil {
		return batch{}, err
	}
	out := newBatch()
	for i, raw := range events {
		in, one := fmt.Sprintf("[%d].", i), m.part(raw)
		e, err := read(raw)
		switch {
		case err != nil:
			err = within(fmt.Sprintf("[%d]", i), err)
		case e.kind != eventGridTest:
			err = out.takeGrid(one, e, in)
		case len(events) != 1 || m.header.Get("Aeg-Event-Type") != "SubscriptionValidation":
			err = provenance.Errorf(provenance.Invalid, "%seventType: a validation comes alone, with the header aeg-event-type: SubscriptionValidation", in)
		default:
			return validation(e)
		}
		if isForeign(err) && len(events) == 1 {
			return batch{}, err
		}
		out.outcome(one, err)
	}
	return out, nil
}

func (b *batch) takeGrid(m message, e gridEvent, in string) error {
	if strings.HasPrefix(e.kind, "Microsoft.EventGrid.") { // about the subscription itself, as its end
		b.ignored[ignoredOther]++
		return nil
	}
	kind, ours := e.acrType()
	if !ours {
		return foreign("%seventType: %q is not an event of Azure Container Registry", in, clipText(e.kind))
	}
	var data acrEvent
	elsewhere := !isACRHost(m.connector.Host, e.topic, "")
	if !elsewhere {
		if err := decodeChecked(e.object(), &data, "an event of Azure Container Registry in data"); err != nil {
			return err
		}
		elsewhere = !isACRHost(m.connector.Host, e.topic, data.host())
	}
	if elsewhere {
		b.ignored[ignoredElsewhere]++
		return nil
	}
	if data.Timestamp == "" {
		data.Timestamp = e.time
	}
	// The type is Event Grid's own word; data.action is the registry's again.
	if want := map[string]string{"imagepushed": "push", "imagedeleted": "delete"}[kind]; want != "" && !strings.EqualFold(data.Action, want) {
		return provenance.Errorf(provenance.Invalid, "%sdata.action: %q in an event of type %s", in, clipText(data.Action), e.kind)
	}
	return b.takeACR(m, data, m.id(e.id), in+"data.", e.body)
}

// acrType is the type of an event of Azure Container Registry behind its prefix, in
// lower case: Event Grid compares types so. Azure's own examples, and with them some
// who send an event again, leave the prefix out.
func (e gridEvent) acrType() (string, bool) {
	kind, prefixed := strings.CutPrefix(strings.ToLower(e.kind), strings.ToLower(eventGridPrefix))
	switch kind {
	case "imagepushed", "imagedeleted", "chartpushed", "chartdeleted":
		return kind, true
	}
	return kind, prefixed
}

// object is the data of an event. Some topics hand on the registry's words as a text.
func (e gridEvent) object() []byte {
	var text string
	if len(e.data) == 0 || e.data[0] != '"' || json.Unmarshal(e.data, &text) != nil || !json.Valid([]byte(text)) {
		return e.data
	}
	return []byte(text)
}

// gridEvents takes the body apart in the schema that its media type says: an
// array of Event Grid's own events, one CloudEvent, or an array of them.
func gridEvents(m message) (list []json.RawMessage, read func(raw []byte) (gridEvent, error), err error) {
	read = readGrid
	if m.mediaType != "application/json" {
		read = func(raw []byte) (gridEvent, error) { e, err := structuredEvent(raw); return e.grid(), err }
	}
	if m.mediaType == typeCloudEvent {
		return []json.RawMessage{m.raw}, read, nil
	}
	if err := wellFormed(m.raw); err != nil {
		return nil, nil, err
	}
	list, err = entries(m.raw, "body")
	if err == nil && len(list) == 0 {
		err = provenance.Errorf(provenance.Invalid, "body: want an array of 1 to %d events of Event Grid", maxEvents)
	}
	return list, read, err
}

func (e cloudEvent) grid() gridEvent {
	return gridEvent{id: e.ID, kind: e.Type, topic: e.Source, time: e.Time, data: e.Data, body: e.body}
}

// readGrid reads one event in Event Grid's own schema.
func readGrid(raw []byte) (gridEvent, error) {
	var in struct {
		ID        string          `json:"id"`
		Topic     string          `json:"topic"`
		EventType string          `json:"eventType"`
		EventTime string          `json:"eventTime"`
		Data      json.RawMessage `json:"data"`
	}
	if err := wellFormed(raw); err != nil {
		return gridEvent{}, err
	}
	if err := decodeChecked(raw, &in, "events of Event Grid"); err != nil {
		return gridEvent{}, err
	}
	if err := idText("id", in.ID); err != nil {
		return gridEvent{}, err
	}
	body, err := hashJSON(raw)
	return gridEvent{id: in.ID, kind: in.EventType, topic: in.Topic, time: in.EventTime, data: in.Data, body: body}, err
}

// validation answers Event Grid's own handshake with the code it sent. The
// address beside the code is not called: it is the sender's choice.
func validation(e gridEvent) (batch, error) {
	var data struct {
		Code string `json:"validationCode"`
	}
	if err := decodeChecked(e.data, &data, "a validationCode in data"); err != nil {
		return batch{}, err
	}
	if !validationCode.MatchString(data.Code) {
		return batch{}, provenance.Errorf(provenance.Invalid, "data.validationCode: want letters, digits and '-'")
	}
	return batch{reply: struct {
		Response string `json:"validationResponse"`
	}{data.Code}}, nil
}

// azureClouds are the domains of Azure's registries, by cloud.
func azureClouds() []string {
	return []string{".azurecr.io", ".azurecr.cn", ".azurecr.us", ".azurecr.de"}
}

// azureLabel is the first label of a host of Azure's form, "" of another. A registry's
// name has no '-'; where its owner chose a domain name label, a hash follows one.
func azureLabel(host string) string {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	for _, cloud := range azureClouds() {
		if name, ok := strings.CutSuffix(host, cloud); ok {
			name, _, _ = strings.Cut(name, ".")
			return name
		}
	}
	return ""
}

// isACRHost compares the resource that an event is about with the host, where
// both have Azure's form: one subscription may carry several registries. The
// resource is named without the hash, so registries of one name in two groups are
// told apart by the host that the event names itself.
func isACRHost(host provenance.Host, topic, asked string) bool {
	label := azureLabel(string(host))
	i := strings.LastIndex(topic, "/registries/")
	if label == "" || i < 0 {
		return true
	}
	name, hash, hashed := strings.Cut(label, "-")
	if !strings.EqualFold(topic[i+len("/registries/"):], name) {
		return false
	}
	other, theirs, _ := strings.Cut(azureLabel(asked), "-")
	return !hashed || other != name || theirs == hash
}
