package provenance

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// private is a pull as a queue holds it, whose client must not come to the channel.
func private(n byte, actor string) Event {
	return Event{
		ID: EventID{n}, Action: Pull, Source: "distribution", Repository: "team/app", Digest: SHA256Of([]byte("v1")),
		Actor: actor, Address: "10.2.3.4", UserAgent: "containerd/2.1.0", Blind: Unblinded(),
	}
}

func TestBlinded(t *testing.T) {
	salt := Salt{1, 2, 3}
	events := append(clients(), private(8, "ci"), private(9, "ci"))
	public, hidden := Blinded(events, salt)
	if events[4].Actor != "ci" || events[4].Blind != Unblinded() {
		t.Error("the caller's events changed")
	}
	plain := len(events) - 2
	if diff := cmp.Diff(events[:plain], public[:plain], cmp.Comparer(func(a, b Digest) bool { return a == b })); diff != "" {
		t.Errorf("events with nothing to hide (-want +got):\n%s", diff)
	}
	b, err := EncodeSegment(public[plain:])
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"ci", "10.2.3.4", "containerd"} {
		if bytes.Contains(b, []byte(text)) {
			t.Errorf("the segment holds %q", text)
		}
	}
	one, two := public[plain], public[plain+1]
	if one.Exposed() || two.Exposed() || one.Blind == two.Blind || one.Blind.IsZero() || one.ID != events[plain].ID {
		t.Errorf("two pulls by one client: %+v and %+v", one, two)
	}
	if err := hidden.Check(public); err != nil || len(hidden.Of) != 2 || hidden.Of[1] != (Client{"ci", "10.2.3.4", "containerd/2.1.0"}) {
		t.Errorf("hidden: %+v, %v", hidden, err)
	}
	if again, _ := Blinded(events, Salt{4}); again[plain].Blind == one.Blind {
		t.Error("another salt gives the same hash")
	}
	for name, c := range map[string]Clients{
		"another client": {salt, []Client{{"ci", "10.2.3.4", "containerd/2.1.0"}, {"eve", "10.2.3.4", "containerd/2.1.0"}}},
		"a moved text":   {salt, []Client{{"ci", "10.2.3.4", "containerd/2.1.0"}, {"ci1", "0.2.3.4", "containerd/2.1.0"}}},
		"another salt":   {Salt{4}, hidden.Of},
		"one too few":    {salt, hidden.Of[:1]},
		"one too many":   {salt, append(hidden.Of[:2:2], Client{})},
	} {
		if err := c.Check(public); CodeOf(err) != Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	same, none := Blinded(events[:plain], salt)
	if &same[0] != &events[0] || len(none.Of) != 0 {
		t.Error("nothing to hide, and something was hidden")
	}
}

func TestExposed(t *testing.T) {
	blind := Salt{}.Blind(EventID{}, Client{})
	for name, tt := range map[string]struct {
		event Event
		want  bool
	}{
		"nothing to hide": {Event{Actor: "ci"}, false},
		"hidden":          {Event{Blind: blind}, false},
		"not yet hashed":  {Event{Blind: Unblinded()}, true},
		"an actor":        {Event{Blind: blind, Actor: "ci"}, true},
		"an address":      {Event{Blind: blind, Address: "10.2.3.4"}, true},
		"a program":       {Event{Blind: blind, UserAgent: "x"}, true},
	} {
		if got := tt.event.Exposed(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	e := private(1, "ci")
	e.Action = Push
	if err := e.Check(); CodeOf(err) != Invalid {
		t.Errorf("a blinded push: %v", err)
	}
	e = private(1, "ci")
	e.Blind, _ = ParseDigest("sha512:" + strings.Repeat("ab", 64))
	if err := e.Check(); CodeOf(err) != Invalid {
		t.Errorf("a blind of SHA-512: %v", err)
	}
}

// Version 4 of a segment, and its clients. An old chaincode or reader depends on
// every byte.
func TestBlindedGolden(t *testing.T) {
	public, hidden := Blinded(append(clients(), private(8, "ci"), private(9, "")), Salt{1, 2, 3})
	segment, err := EncodeSegment(public)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := EncodeClients(hidden)
	if err != nil {
		t.Fatal(err)
	}
	got := hex.EncodeToString(segment) + "\n" + hex.EncodeToString(kept) + "\n"
	golden := filepath.Join("testdata", "segment-v4.hex")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the encoding changed:\n%s", got)
	}
	back, err := DecodeSegment(segment)
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b Digest) bool { return a == b })
	if diff := cmp.Diff(public, back, same); diff != "" {
		t.Errorf("segment (-want +got):\n%s", diff)
	}
	if n, err := SegmentEvents(segment); err != nil || n != len(public) {
		t.Errorf("%d events, %v", n, err)
	}
	who, err := DecodeClients(kept)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hidden, who); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	for i := range kept {
		if _, err := DecodeClients(kept[:i]); CodeOf(err) != Invalid {
			t.Fatalf("%d of %d bytes: %v", i, len(kept), err)
		}
	}
	if _, err := DecodeClients(append(kept, 0)); CodeOf(err) != Invalid {
		t.Errorf("a byte after the end: %v", err)
	}
}

func TestClientsLimits(t *testing.T) {
	many := make([]Client, MaxSegmentEvents)
	for i := range many {
		many[i].UserAgent = strings.Repeat("x", 230) + hex.EncodeToString([]byte{byte(i), byte(i >> 8)})
	}
	for name, c := range map[string]Clients{
		"none":           {},
		"a long text":    {Of: []Client{{Actor: strings.Repeat("x", maxText+1)}}},
		"too many":       {Of: make([]Client, MaxSegmentEvents+1)},
		"too many bytes": {Of: many},
	} {
		if _, err := EncodeClients(c); CodeOf(err) != Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeClients(make([]byte, MaxClientsBytes+1)); CodeOf(err) != Invalid {
		t.Errorf("too many bytes to read: %v", err)
	}
}

func FuzzDecodeClients(f *testing.F) {
	_, hidden := Blinded([]Event{private(8, "ci"), private(9, "")}, Salt{1, 2, 3})
	b, err := EncodeClients(hidden)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeClients(b)
		if err != nil {
			return
		}
		again, err := EncodeClients(c)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("a second encoding of the same clients: %x, %v", again, err)
		}
	})
}
