package state

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TrustKey is trust material an organisation registered: what it answers for.
type TrustKey struct {
	MSP         string      `json:"msp"`
	Name        string      `json:"name"`
	Kind        string      `json:"kind"` // evidence.KeyKind
	PEM         string      `json:"pem"`
	Fingerprint string      `json:"fingerprint"`
	NotBefore   time.Time   `json:"notBefore,omitzero"`
	NotAfter    time.Time   `json:"notAfter,omitzero"`
	Withdrawn   *Withdrawal `json:"withdrawn,omitempty"`
	Act
}

// Withdrawal ends a key: nothing it signs counts from then on, and nothing
// recorded since CompromisedSince counts any more.
type Withdrawal struct {
	Reason           string    `json:"reason"`
	CompromisedSince time.Time `json:"compromisedSince,omitzero"`
	Act
}

// Earlier tells whether a withdrawal that reaches back to an earlier time than this
// one, or the first, says something new.
func (w *Withdrawal) Earlier(next Withdrawal) bool {
	switch {
	case w == nil:
		return true
	case next.CompromisedSince.IsZero():
		return false
	}
	return w.CompromisedSince.IsZero() || next.CompromisedSince.Before(w.CompromisedSince)
}

// Schema is the JSON schema of the facts of evidence type custom/<MSP>/<Name>.
type Schema struct {
	Name   string          `json:"name"`
	MSP    string          `json:"msp"`
	Schema json.RawMessage `json:"schema"`
	Act
}

// Evidence is a verified statement about an image. The whole document is at Location.
type Evidence struct {
	Digest        provenance.Digest `json:"digest"`
	Type          string            `json:"type"`
	ID            string            `json:"id"` // hex sha256 of the envelope; evidence.ID
	Format        string            `json:"format"`
	Signer        policy.Signer     `json:"signer"`
	Facts         json.RawMessage   `json:"facts"`
	Document      string            `json:"document"` // hex sha256 of the whole document
	PredicateType string            `json:"predicateType,omitempty"`
	MadeAt        time.Time         `json:"madeAt,omitzero"`    // the signer's claim
	Location      string            `json:"location,omitempty"` // host/repository@digest of the referrer that carries it
	// Of what a trusted root verified (Signer.MSP, Signer.Key): its version then, what the
	// signer's certificate says besides, and who vouched for the signature, when.
	RootVersion int               `json:"rootVersion,omitempty"`
	Claims      map[string]string `json:"claims,omitempty"`
	Uses        []Use             `json:"uses,omitempty"`
	// Withdrawn: the organisation that vouched took it back.
	Withdrawn *Withdrawal `json:"withdrawn,omitempty"`
	Act
}

// Use is an authority of a trusted root, by Anchor.ID, and a moment at which it vouched.
type Use struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// Since is when a piece of evidence was made, at the latest when it was
// recorded: a claim can make it older, never younger. What an authority vouched for
// was made by then, however late it is handed in.
func (e Evidence) Since() time.Time {
	at := e.At
	if !e.MadeAt.IsZero() && e.MadeAt.Before(at) {
		at = e.MadeAt
	}
	for _, use := range e.Uses {
		if use.At.Before(at) {
			at = use.At
		}
	}
	return at
}

// Answered tells whether somebody answers for the signer: a member, or the members
// together with a root that they share.
func (e *Evidence) Answered(members []string) bool {
	return e.Signer.MSP == "" && e.RootVersion > 0 || slices.Contains(members, e.Signer.MSP)
}

// WithdrawnBy tells whether the withdrawal of the key that signed it, nil when
// there is none, reaches back to it. What was recorded before the key was
// compromised stays; a claimed time is no proof of that.
func (e Evidence) WithdrawnBy(w *Withdrawal) bool {
	return w != nil && !w.CompromisedSince.IsZero() && !e.At.Before(w.CompromisedSince)
}

// FirstPiece names the piece of evidence that a signature came as first: in another
// envelope it is the same word, and no newer one.
type FirstPiece struct {
	ID string `json:"id"`
}

// EvidenceSet lists the evidence about an image that one organisation handed in
// and that counts: of each signer and type the newest by Evidence.Since.
type EvidenceSet struct {
	Entries []EvidenceEntry `json:"entries"`
}

// EvidenceEntry names one piece of a set.
type EvidenceEntry struct {
	Type   string    `json:"type"`
	ID     string    `json:"id"`
	Signer string    `json:"signer"` // SignerID
	Since  time.Time `json:"since"`
	// Unruled: no rule of the policy that was in force for the repository accepts the signer.
	Unruled bool `json:"unruled,omitempty"`
	// Past: older pieces of the same signer and type stand under EvidencePastKey.
	Past bool `json:"past,omitempty"`
}

// EvidencePast are the pieces that an entry of a set replaced, newest first.
type EvidencePast struct {
	Pieces []PastPiece `json:"pieces"`
}

// PastPiece names an older piece.
type PastPiece struct {
	ID    string    `json:"id"`
	Since time.Time `json:"since"`
}

// parts is how finely holes are compared.
const parts = 10_000

// Add puts a piece among the past. Where there are MaxPast already, of all but
// the newest and the oldest the one goes whose going leaves the smallest hole,
// measured by its age: how far back something began stays known to a few parts
// in a hundred, however often somebody scans.
func (p *EvidencePast) Add(piece PastPiece) {
	at, known := slices.BinarySearchFunc(p.Pieces, piece, func(a, b PastPiece) int {
		return cmp.Or(b.Since.Compare(a.Since), strings.Compare(b.ID, a.ID))
	})
	if known {
		return
	}
	p.Pieces = slices.Insert(p.Pieces, at, piece)
	if len(p.Pieces) <= MaxPast {
		return
	}
	drop, smallest := 1, int64(math.MaxInt64)
	for i := 1; i < len(p.Pieces)-1; i++ {
		hole := p.Pieces[i-1].Since.Sub(p.Pieces[i+1].Since).Milliseconds()
		age := p.Pieces[0].Since.Sub(p.Pieces[i+1].Since).Milliseconds()
		if part := hole * parts / max(1, age); part < smallest { // 292 years of milliseconds times parts fit
			drop, smallest = i, part
		}
	}
	p.Pieces = slices.Delete(p.Pieces, drop, drop+1)
}

// SignerID names a signer within a set: one key, one certificate identity or
// one person. It is the hex SHA-256 of its parts, each after its length.
func SignerID(s policy.Signer) string {
	return hashOf(string(s.Kind), s.MSP, s.Key, s.Issuer, s.Identity, s.Name)
}
