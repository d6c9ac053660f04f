package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
)

// Predecessor is the channel that another one goes on from, at its last block that a quorum signed. A first block names
// it, so that the chain of the new channel ends in that of the old one. Hashes are SHA-256 in hexadecimal.
type Predecessor struct {
	Channel   string `json:"channel"`
	Chaincode string `json:"chaincode"`
	Genesis   string `json:"genesis"` // of the header of its first block
	Height    uint64 `json:"height"`  // how many blocks it has
	Header    string `json:"header"`  // of the header of the last of them
	State     string `json:"state"`   // of all keys and values after it
}

var (
	predecessorChannel = regexp.MustCompile(`^[a-z][a-z0-9-]{0,60}$`)
	predecessorHash    = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Bytes is the one way in which a predecessor is written.
func (p Predecessor) Bytes() []byte {
	raw, _ := json.Marshal(p) // strings and a number always encode
	return raw
}

// Check says what is wrong with it.
func (p Predecessor) Check() error {
	switch {
	case !predecessorChannel.MatchString(p.Channel), !predecessorChannel.MatchString(p.Chaincode):
		return Errorf(Invalid, "predecessor: channel %.80q, chaincode %.80q: want %s", p.Channel, p.Chaincode, predecessorChannel)
	case p.Height == 0:
		return Errorf(Invalid, "predecessor: a channel has one block at least")
	}
	for _, hash := range []string{p.Genesis, p.Header, p.State} {
		if !predecessorHash.MatchString(hash) {
			return Errorf(Invalid, "predecessor: %.80q is no SHA-256 in hexadecimal", hash)
		}
	}
	return nil
}

// ParsePredecessor reads what Bytes wrote, and nothing that says the same in other bytes.
func ParsePredecessor(raw []byte) (Predecessor, error) {
	var p Predecessor
	const most = 1 << 10
	if len(raw) > most || json.Unmarshal(raw, &p) != nil || !bytes.Equal(p.Bytes(), raw) {
		return Predecessor{}, Errorf(Invalid, "predecessor: not one as it is written")
	}
	return p, p.Check()
}

const (
	successorDigits = 40 // of a hash: 160 bits, so that nobody makes two channels of one name
	successorBase   = 20 // bytes of the name before
)

var successorName = regexp.MustCompile(`^([a-z][a-z0-9-]{0,19})-[0-9a-f]{40}$`)

// Successor is the name of the channel that these founders let go on from p. It holds a hash of both: what may be imported
// into a channel, and who founds it, is read off its name, which is all that a contract knows of the channel it runs in.
func (p Predecessor) Successor(founders []string) string {
	founders = slices.Sorted(slices.Values(founders))
	raw, _ := json.Marshal(struct { // strings and a number always encode
		After    Predecessor `json:"after"`
		Founders []string    `json:"founders"`
	}{p, founders})
	sum := sha256.Sum256(raw)
	base := p.Channel
	if m := successorName.FindStringSubmatch(base); m != nil {
		base = m[1]
	}
	return base[:min(len(base), successorBase)] + "-" + hex.EncodeToString(sum[:])[:successorDigits]
}

// IsSuccessor tells whether a channel's name is that of one that goes on from another.
func IsSuccessor(channel string) bool { return successorName.MatchString(channel) }
