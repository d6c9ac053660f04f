package provenance

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// SaltBytes is the length of a segment's salt.
const SaltBytes = 32

// MaxClientsBytes is the most that the clients of one segment take, encoded:
// as much as the segment itself.
const MaxClientsBytes = MaxSegmentBytes

// clientsVersion opens every encoded Clients.
const clientsVersion = 1

// Salt keeps the hashes of a segment from being guessed: addresses and accounts
// are few. Its maker draws it at random for one segment and keeps it with what
// it hides.
type Salt [SaltBytes]byte

// Client is who pulled, in the registry's word.
type Client struct {
	Actor     string `json:"actor,omitempty"`
	Address   string `json:"address,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
}

// Clients is what a segment hides: the clients of its blinded events, in their
// order, and the salt.
type Clients struct {
	Salt Salt
	Of   []Client
}

// Unblinded stands in a queue for the hash that is not made yet: it is the
// SHA-256 of nothing, which no client hashes to.
func Unblinded() Digest { return SHA256Of(nil) }

// Exposed tells that an event whose client must be hidden still shows it. No
// such event may come to the channel.
func (e Event) Exposed() bool {
	return !e.Blind.IsZero() && (e.Actor != "" || e.Address != "" || e.UserAgent != "" || e.Blind == Unblinded())
}

// Blinded returns the events as they may stand on the channel, and what was
// taken out of those that have a Blind. The other events stay as they are.
func Blinded(events []Event, salt Salt) ([]Event, Clients) {
	c := Clients{Salt: salt}
	var out []Event
	for i, e := range events {
		if e.Blind.IsZero() {
			continue
		}
		if out == nil {
			out = append(out, events...)
		}
		client := Client{Actor: e.Actor, Address: e.Address, UserAgent: e.UserAgent}
		c.Of = append(c.Of, client)
		e.Actor, e.Address, e.UserAgent = "", "", ""
		e.Blind = salt.Blind(e.ID, client)
		out[i] = e
	}
	if out == nil {
		return events, c
	}
	return out, c
}

// Blind is the salted hash of a client: HMAC-SHA256 under the salt over the
// event's id and the three texts, each behind its length. As the
// id is in it, two pulls by one client do not look alike.
func (s Salt) Blind(id EventID, c Client) Digest {
	h := hmac.New(sha256.New, s[:])
	for _, part := range []string{"client1", string(id[:]), c.Actor, c.Address, c.UserAgent} {
		writePart(h, part)
	}
	d, _, err := CutDigest(append([]byte{1}, h.Sum(nil)...))
	if err != nil {
		return Digest{} // not reached: a SHA-256 has the length of one
	}
	return d
}

func writePart(h hash.Hash, part string) {
	h.Write(binary.AppendUvarint(nil, uint64(len(part))))
	h.Write([]byte(part))
}

// Check tells whether these are the clients of the segment's blinded events, no
// more and no fewer; Invalid where they are not.
func (c Clients) Check(events []Event) error {
	n := 0
	for _, e := range events {
		if e.Blind.IsZero() {
			continue
		}
		if n >= len(c.Of) || c.Salt.Blind(e.ID, c.Of[n]) != e.Blind {
			return Errorf(Invalid, "clients: number %d does not hash to what event %s shows", n+1, e.ID)
		}
		n++
	}
	if n != len(c.Of) {
		return Errorf(Invalid, "clients: %d of %d blinded events", len(c.Of), n)
	}
	return nil
}

// EncodeClients writes clients deterministically: a version byte, the salt, a
// table of the distinct texts in order of first use, and three numbers for each
// client. It fails with Invalid for none, for too many, for a text that is too
// long, and when the whole does not fit MaxClientsBytes.
func EncodeClients(c Clients) ([]byte, error) {
	if len(c.Of) == 0 || len(c.Of) > MaxSegmentEvents {
		return nil, Errorf(Invalid, "%d clients: want 1 to %d", len(c.Of), MaxSegmentEvents)
	}
	texts := table[string]{index: map[string]uint64{}}
	var body []byte
	for _, client := range c.Of {
		for _, text := range []string{client.Actor, client.Address, client.UserAgent} {
			if len(text) > maxText {
				return nil, Errorf(Invalid, "clients: a text of %d bytes is longer than %d", len(text), maxText)
			}
			body = binary.AppendUvarint(body, texts.add(text))
		}
	}
	out := append([]byte{clientsVersion}, c.Salt[:]...)
	out = binary.AppendUvarint(out, uint64(len(texts.entries)))
	for _, text := range texts.entries {
		out = append(binary.AppendUvarint(out, uint64(len(text))), text...)
	}
	out = append(binary.AppendUvarint(out, uint64(len(c.Of))), body...)
	if len(out) > MaxClientsBytes {
		return nil, Errorf(Invalid, "clients of %d bytes: at most %d", len(out), MaxClientsBytes)
	}
	return out, nil
}

// DecodeClients reads what EncodeClients wrote and nothing else; the rest is
// Invalid.
func DecodeClients(b []byte) (c Clients, err error) {
	if len(b) > MaxClientsBytes {
		return c, Errorf(Invalid, "clients of %d bytes: at most %d", len(b), MaxClientsBytes)
	}
	d := decoder{rest: b}
	if version := d.byte(); version != clientsVersion {
		return c, Errorf(Invalid, "clients of version %d: this program reads version %d", version, clientsVersion)
	}
	copy(c.Salt[:], d.take(SaltBytes))
	var texts []string
	known := map[string]bool{}
	for n := d.count(len(b)); n > 0 && !d.bad; n-- {
		text := string(d.take(d.count(maxText)))
		d.bad = d.bad || known[text]
		known[text] = true
		texts = append(texts, text)
	}
	for n := d.count(MaxSegmentEvents); n > 0 && !d.bad; n-- {
		c.Of = append(c.Of, Client{Actor: d.text(texts), Address: d.text(texts), UserAgent: d.text(texts)})
	}
	if d.bad || len(d.rest) != 0 || len(c.Of) == 0 || d.used != uint64(len(texts)) {
		return Clients{}, Errorf(Invalid, "clients are truncated, have bytes after their end, or are not in their canonical encoding")
	}
	return c, nil
}
