package provenance

import (
	"strings"
	"testing"
)

func clients() []Event {
	events := sample()
	events[1].Address, events[1].UserAgent = "10.2.3.4", "containerd/2.1.0"
	return events
}

// Version 3: as TestSegmentGolden, with a client.
func TestSegmentOfClients(t *testing.T) {
	got := wantEncoding(t, clients(), "segment-v3.hex")
	for i := range got {
		if _, err := DecodeSegment(got[:i]); CodeOf(err) != Invalid {
			t.Fatalf("%d of %d bytes: %v", i, len(got), err)
		}
	}
}

// A list of events has one encoding: version 3 without a client is refused.
func TestSegmentOfNoClients(t *testing.T) {
	e := Event{ID: EventID{1}, Action: Pull, Source: "x", Repository: "a", Digest: SHA256Of(nil)}
	two, err := EncodeSegment([]Event{e})
	if err != nil {
		t.Fatal(err)
	}
	e.Address, e.UserAgent = "10.2.3.4", "y"
	three, err := EncodeSegment([]Event{e})
	if err != nil || two[0] != segmentVersion || three[0] != segmentClients {
		t.Fatalf("versions %d and %d, %v", two[0], three[0], err)
	}
	// The event of three with the empty text for both: texts x, a, "" as in two.
	at := strings.Index(string(two), string(append(e.ID[:], byte(Pull))))
	texts := at + len(e.ID) + 1 + 6
	forged := append(append(append([]byte{segmentClients}, two[1:texts]...), 2, 2), two[texts:]...)
	if _, err := DecodeSegment(forged); CodeOf(err) != Invalid {
		t.Errorf("a second encoding was taken: %v", err)
	}
	forged[texts] = 9 // the position is right: another number is malformed, not merely another version
	if _, err := DecodeSegment(append([]byte{segmentVersion}, forged[1:]...)); CodeOf(err) != Invalid {
		t.Errorf("fields of version 3 in version 2: %v", err)
	}
	e.UserAgent = strings.Repeat("x", maxText+1)
	if _, err := EncodeSegment([]Event{e}); CodeOf(err) != Invalid {
		t.Errorf("a long user agent: %v", err)
	}
}
