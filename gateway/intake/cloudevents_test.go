package intake

import (
	"net/http"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Two headers could say two things, and a reader would believe one of them.
func TestContextAttributesOnce(t *testing.T) {
	c := connectorOf(t, KindZot)
	raw, header := load(t, KindZot, "push-tag")
	for name := range header {
		if !strings.HasPrefix(name, "Ce-") || name == "Ce-Channel" { // an extension that nobody reads
			continue
		}
		twice := header.Clone()
		twice.Add(name, twice.Get(name))
		if b, err := parseZot(messageOf(&c, raw, twice)); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s twice: %d events, %v; want Invalid", name, len(b.events), err)
		}
	}
}

// Both modes of the HTTP binding say the same, and what stands in the headers
// of the binary one is part of what is hashed.
func TestModes(t *testing.T) {
	raw := []byte(`{"a": 1}`)
	header := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1%20a"}, "Ce-Source": {"/s"}, "Ce-Type": {"t"}, "Ce-Time": {"2026-03-02T09:14:05Z"}, "Ce-Subject": {"x"}}
	binary, err := cloudEventOf(message{raw: raw, header: header, mediaType: "application/json"})
	if err != nil {
		t.Fatal(err)
	}
	structured, err := cloudEventOf(message{mediaType: typeCloudEvent, raw: []byte(
		`{"specversion":"1.0","id":"1 a","source":"/s","type":"t","time":"2026-03-02T09:14:05Z","subject":"x","data":{"a": 1}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if binary.ID != structured.ID || binary.Source != structured.Source || binary.Type != structured.Type || binary.Time != structured.Time ||
		binary.Subject != structured.Subject || string(binary.Data) != string(structured.Data) {
		t.Errorf("binary %+v\nstructured %+v", binary, structured)
	}
	for _, name := range []string{"Ce-Id", "Ce-Source", "Ce-Type", "Ce-Time", "Ce-Subject"} {
		other := header.Clone()
		other.Set(name, "y")
		e, err := cloudEventOf(message{raw: raw, header: other, mediaType: "application/json"})
		if err != nil || e.body == binary.body {
			t.Errorf("another %s has the same hash (%v)", name, err)
		}
	}
	spaced, err := cloudEventOf(message{raw: []byte(`{"a":1}`), header: header, mediaType: "application/json"})
	if err != nil || spaced.body != binary.body {
		t.Errorf("white space changes the hash (%v)", err)
	}
}
