package intake

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Media types of CloudEvents (JSON event format 1.0).
const (
	typeCloudEvent  = "application/cloudevents+json"
	typeCloudEvents = "application/cloudevents-batch+json"
)

func isJSONOrCloudEvent(mediaType string) bool {
	return isJSON(mediaType) || mediaType == typeCloudEvent
}

// cloudEvent is an event in the words of CloudEvents 1.0: its context
// attributes as far as we read them, and its data, a JSON object.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject"`
	Time            string          `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`
	DataBase64      json.RawMessage `json:"data_base64"`
	Operator        string          `json:"operator"` // Harbor's extension

	body [sha256.Size]byte
}

// cloudEventOf reads a request in either mode of the HTTP binding (CloudEvents
// HTTP protocol binding 1.0, section 3). A structured body with context
// attributes in headers as well is refused: two places could say two things,
// and only one of them would be read.
func cloudEventOf(m message) (cloudEvent, error) {
	inHeaders := hasContext(m.header)
	if m.mediaType != typeCloudEvent {
		return binaryEvent(m)
	}
	if inHeaders {
		return cloudEvent{}, provenance.Errorf(provenance.Invalid, "the body is a structured CloudEvent, and ce- headers say it is a binary one")
	}
	return structuredEvent(m.raw)
}

// hasContext tells whether headers hold context attributes.
func hasContext(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "Ce-") {
			return true
		}
	}
	return false
}

// structuredEvent reads one event in the JSON format.
func structuredEvent(raw []byte) (cloudEvent, error) {
	if err := wellFormed(raw); err != nil {
		return cloudEvent{}, err
	}
	return checkedEvent(raw)
}

// checkedEvent reads an event that wellFormed has seen.
func checkedEvent(raw []byte) (e cloudEvent, err error) {
	if err := decodeChecked(raw, &e, "a CloudEvent with texts in its attributes"); err != nil {
		return cloudEvent{}, err
	}
	if e.body, err = hashJSON(raw); err != nil {
		return cloudEvent{}, err
	}
	return e, e.check()
}

// binaryEvent reads attributes from the headers and data from the body. The
// hash covers both: the meaning is in both.
func binaryEvent(m message) (cloudEvent, error) {
	if err := wellFormed(m.raw); err != nil {
		return cloudEvent{}, err
	}
	e := cloudEvent{DataContentType: m.mediaType, Data: m.raw}
	for name, into := range map[string]*string{
		"Ce-Specversion": &e.SpecVersion, "Ce-Id": &e.ID, "Ce-Source": &e.Source, "Ce-Type": &e.Type, "Ce-Subject": &e.Subject, "Ce-Time": &e.Time,
	} {
		values := m.header.Values(name)
		if len(values) > 1 {
			return cloudEvent{}, provenance.Errorf(provenance.Invalid, "header %s stands twice", name)
		}
		if len(values) == 0 {
			continue
		}
		text, err := url.PathUnescape(values[0]) // section 3.1.3.2: percent-encoded
		if err != nil {
			return cloudEvent{}, provenance.Errorf(provenance.Invalid, "header %s is not percent-encoded text", name)
		}
		*into = text
	}
	var all bytes.Buffer
	for _, part := range []string{e.SpecVersion, e.ID, e.Source, e.Type, e.Subject, e.Time} {
		all.WriteString(part)
		all.WriteByte(0x1f)
	}
	if err := json.Compact(&all, m.raw); err != nil {
		return cloudEvent{}, provenance.Errorf(provenance.Invalid, "body is not JSON")
	}
	e.body = sha256.Sum256(all.Bytes())
	return e, e.check()
}

func (e cloudEvent) check() error {
	if e.SpecVersion != "1.0" {
		return foreign("specversion %q: want a CloudEvent of version 1.0", clipText(e.SpecVersion))
	}
	for _, attribute := range []value{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if err := idText(attribute.field, attribute.text); err != nil {
			return err
		}
	}
	if data, _, err := mime.ParseMediaType(e.DataContentType); e.DataContentType != "" && (err != nil || !isJSON(data)) {
		return provenance.Errorf(provenance.Invalid, "datacontenttype %q: want application/json", clipText(e.DataContentType))
	}
	if e.DataBase64 != nil && string(e.DataBase64) != "null" {
		return provenance.Errorf(provenance.Invalid, "data_base64: want data as JSON")
	}
	if data := bytes.TrimSpace(e.Data); len(data) == 0 || data[0] != '{' {
		return provenance.Errorf(provenance.Invalid, "data: want an object")
	}
	return nil
}
