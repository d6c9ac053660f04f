package provenance

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Action is what happened at a registry.
type Action uint8

// The actions. Their numbers are part of the segment encoding.
const (
	// Push: a manifest was put; with a tag, the tag now names it.
	Push Action = 1
	// Pull: a manifest was served.
	Pull Action = 2
	// Delete: a manifest was deleted.
	Delete Action = 3
	// TagDelete: a tag was removed; the manifest stays.
	TagDelete Action = 4
	// Unknown: an authenticated event that has no meaning here; kept as seen.
	Unknown Action = 5
)

func actionNames() [6]string { return [6]string{"", "push", "pull", "delete", "tag-delete", "unknown"} }

// String returns the action's name.
func (a Action) String() string {
	if names := actionNames(); int(a) < len(names) {
		return names[a]
	}
	return ""
}

// MarshalText implements encoding.TextMarshaler.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Action) UnmarshalText(b []byte) error {
	for i, name := range actionNames() {
		if name != "" && name == string(b) {
			*a = Action(i)
			return nil
		}
	}
	return Errorf(Invalid, "action %q is not known", clip(string(b)))
}

// EventID is the content key of an event: the same fact notified twice has the
// same id, however often it is delivered. It is a SHA-256 cut to 128 bits:
// finding a second event for an id stays out of reach, and the only one who
// could profit from two events of his own with one id is the sender they are
// lost to. Every byte of it is stored by every peer for every pull.
type EventID [16]byte

// String returns the id in hexadecimal.
func (id EventID) String() string { return hex.EncodeToString(id[:]) }

// NewEventID hashes the parts that identify a delivery, each closed by the
// ASCII unit separator so that no two lists of parts run together.
func NewEventID(source, connector string, parts ...string) EventID {
	h := sha256.New()
	for _, p := range append([]string{"ev1", source, connector}, parts...) {
		h.Write([]byte(p))
		h.Write([]byte{0x1f})
	}
	return EventID(h.Sum(nil)[:len(EventID{})])
}

// Event is what a registry, a sweep or a proxy saw. Host is not in it: a
// segment holds the events of one registry.
type Event struct {
	ID         EventID    `json:"-"`
	Action     Action     `json:"action"`
	Source     string     `json:"source"` // kind of connector, "sweep" or "proxy"
	Repository Repository `json:"repository"`
	Tag        Tag        `json:"tag,omitempty"`
	Digest     Digest     `json:"digest,omitzero"`
	// Facts read back from the registry's own bytes, zero until then.
	MediaType    string   `json:"mediaType,omitempty"`
	ArtifactType string   `json:"artifactType,omitempty"`
	Size         int64    `json:"size,omitempty"` // of the manifest, in bytes
	Config       Digest   `json:"config,omitzero"`
	Subject      Digest   `json:"subject,omitzero"`   // of a referrer
	Children     []Digest `json:"children,omitempty"` // platform images of an index
	// Actor is the registry's word for who did it: a claim, never an identity.
	Actor string `json:"actor,omitempty"`
	// Address and UserAgent say, in the registry's word, where a pull came from
	// and by which program. They are there only where the registry's owner
	// chose to put them on the channel: nobody can take them off again.
	Address   string `json:"address,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	// Blind is the salted hash of Actor, Address and UserAgent of a pull whose
	// client the registry's owner keeps to itself: those three are empty on the
	// channel then (see Blinded). In a queue, before the hash is made, it is
	// Unblinded and the three are still there.
	Blind Digest `json:"blind,omitzero"`
	// OccurredAt is the registry's clock, at millisecond grain, UTC.
	OccurredAt time.Time `json:"occurredAt"`
}

// Limits of an event, in bytes and entries.
const (
	MaxChildren = 256
	maxText     = 255
)

// Check tells whether the event may stand on the ledger.
func (e Event) Check() error {
	return e.check(checked{repositories: map[Repository]error{}, tags: map[Tag]error{}})
}

// checked remembers which names of a segment were parsed: thousands of events
// share a few repositories.
type checked struct {
	repositories map[Repository]error
	tags         map[Tag]error
}

func (c checked) repository(r Repository) error {
	err, ok := c.repositories[r]
	if !ok {
		_, err = ParseRepository(string(r))
		c.repositories[r] = err
	}
	return err
}

func (c checked) tag(t Tag) error {
	err, ok := c.tags[t]
	if !ok {
		_, err = ParseTag(string(t))
		c.tags[t] = err
	}
	return err
}

func (e Event) check(names checked) error {
	if e.Action < Push || e.Action > Unknown {
		return Errorf(Invalid, "event %s: action %d is not known", e.ID, e.Action)
	}
	if err := names.repository(e.Repository); err != nil && (e.Action != Unknown || e.Repository != "") {
		return err
	}
	if e.Tag != "" {
		if err := names.tag(e.Tag); err != nil {
			return err
		}
	}
	switch e.Action {
	case Push, Pull, Delete:
		if e.Digest.IsZero() {
			return Errorf(Invalid, "event %s: a %s needs a digest", e.ID, e.Action)
		}
	case TagDelete:
		if e.Tag == "" {
			return Errorf(Invalid, "event %s: a tag-delete needs a tag", e.ID)
		}
	}
	if e.Size < 0 || len(e.Children) > MaxChildren {
		return Errorf(Invalid, "event %s: size %d or %d children out of bounds (at most %d)", e.ID, e.Size, len(e.Children), MaxChildren)
	}
	if !e.Blind.IsZero() && (e.Action != Pull || len(e.Blind.Raw()) != sha256.Size) {
		return Errorf(Invalid, "event %s: only a pull has a blinded client, by a SHA-256", e.ID)
	}
	for _, text := range [...]struct{ name, value string }{
		{"source", e.Source}, {"mediaType", e.MediaType}, {"artifactType", e.ArtifactType}, {"actor", e.Actor}, {"address", e.Address}, {"userAgent", e.UserAgent},
	} {
		if text.value == "" {
			continue
		}
		if err := CheckText(text.name, text.value, maxText); err != nil {
			return Wrap(Invalid, err, "event %s", e.ID)
		}
	}
	return nil
}
