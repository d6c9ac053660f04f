package state

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Bounds of trusted roots. An organisation fills its own, and the members together,
// by vote, the shared ones. None of them keeps trust from being narrowed.
const (
	// MaxRoots bounds an organisation's own roots, and the shared ones.
	MaxRoots = 16
	// MaxRootVersions bounds the versions of a root; a withdrawal needs none.
	MaxRootVersions = 1000
	// MaxAnchors bounds the authorities that a root ever had: every verdict by a
	// signature that it verified reads them.
	MaxAnchors = 128
	// maxWindows bounds what is remembered of one authority: past it, the two oldest
	// become one that trusts what both did, from the older on.
	maxWindows = 4
)

// TrustedRoot is a trusted root as it is in force, with what it trusted before. MSP
// is the organisation whose own it is; "": it is shared, and votes change it.
type TrustedRoot struct {
	MSP     string `json:"msp"`
	Name    string `json:"name"`
	Version int    `json:"version"` // in force
	Changes int    `json:"changes"` // counts versions and withdrawals: what a vote on it is based on
	Hash    string `json:"hash"`    // hex sha256 of the version's text
	Origin  string `json:"origin,omitempty"`
	// Anchors are all authorities that any version had, by id.
	Anchors   []Anchor    `json:"anchors"`
	Withdrawn *Withdrawal `json:"withdrawn,omitempty"`
	Act
}

// Shared tells whether the root belongs to no organisation.
func (r *TrustedRoot) Shared() bool { return r.MSP == "" }

// String names the root for people: whose it is, always.
func (r *TrustedRoot) String() string { return RootName(r.MSP, r.Name) }

// RootName names a root for people.
func RootName(msp, name string) string {
	if msp == "" {
		return "shared root " + name
	}
	return "root " + name + " of " + msp
}

// Anchor is an authority of a root: since when which window is trusted.
type Anchor struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"`
	Name    string   `json:"name,omitempty"`
	Windows []Window `json:"windows"` // newest first
}

// Window says for which time an authority is trusted, both ends of it; a zero Until
// is open. It is in force from Since on, until the next one. Gone: for none.
type Window struct {
	Since time.Time `json:"since"`
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	Gone  bool      `json:"gone,omitempty"`
}

// trusts tells whether an authority's word of a moment counts.
func (w Window) trusts(at time.Time) bool {
	return !w.Gone && !at.Before(w.From) && (w.Until.IsZero() || !at.After(w.Until))
}

func (w Window) same(o Window) bool {
	return w.Gone == o.Gone && w.From.Equal(o.From) && w.Until.Equal(o.Until)
}

// and is what both windows trust, since the older one.
func (w Window) and(older Window) Window {
	out := Window{Since: older.Since, From: w.From, Until: w.Until, Gone: w.Gone || older.Gone}
	if out.Gone {
		return Window{Since: older.Since, Gone: true}
	}
	if older.From.After(out.From) {
		out.From = older.From
	}
	if out.Until.IsZero() || !older.Until.IsZero() && older.Until.Before(out.Until) {
		out.Until = older.Until
	}
	return out
}

// RootVersion is one version of a trusted root, as it was put in force. It never changes.
type RootVersion struct {
	MSP     string `json:"msp"`
	Name    string `json:"name"`
	Version int    `json:"version"`
	Hash    string `json:"hash"` // hex sha256 of Text
	Text    string `json:"text"` // sigstore.TrustedRoot.Canonical
	// Origin says where the text came from, by the word of who brought it.
	Origin string          `json:"origin,omitempty"`
	Voters []policy.Person `json:"voters,omitempty"` // of a shared one
	Act
}

// RootList are the names of an organisation's own roots, or of the shared ones.
type RootList struct {
	Names []string `json:"names"`
}

// Advance puts a version in force whose authorities are anchors, each with the one
// window that it says. It fails where the root would have had too many.
func (r *TrustedRoot) Advance(v RootVersion, anchors []Anchor) error {
	next := slices.Clone(r.Anchors)
	for i := range next {
		if !slices.ContainsFunc(anchors, func(a Anchor) bool { return a.ID == next[i].ID }) {
			next[i].note(Window{Since: v.At, Gone: true})
		}
	}
	for _, a := range anchors {
		w := a.Windows[0]
		w.Since = v.At
		at, known := slices.BinarySearchFunc(next, a.ID, func(x Anchor, id string) int { return strings.Compare(x.ID, id) })
		if !known {
			next = slices.Insert(next, at, Anchor{ID: a.ID, Kind: a.Kind})
		}
		next[at].Name = a.Name
		next[at].note(w)
	}
	if len(next) > MaxAnchors {
		return provenance.Errorf(provenance.Full, "%s had %d authorities, and may have had %d: begin one of another name", r, len(next), MaxAnchors)
	}
	r.Anchors, r.Version, r.Changes, r.Hash, r.Origin, r.Act = next, v.Version, r.Changes+1, v.Hash, v.Origin, v.Act
	return nil
}

// Trusts tells whether the root has an authority now.
func (r *TrustedRoot) Trusts(id string) bool {
	return r.Withdrawn == nil && slices.ContainsFunc(r.Anchors, func(a Anchor) bool { return a.ID == id && !a.Windows[0].Gone })
}

// note notes the window that is in force from now on.
func (a *Anchor) note(w Window) {
	if len(a.Windows) > 0 && a.Windows[0].same(w) {
		return
	}
	a.Windows = append([]Window{w}, a.Windows...)
	if n := len(a.Windows); n > maxWindows {
		a.Windows = append(a.Windows[:n-2:n-2], a.Windows[n-2].and(a.Windows[n-1]))
	}
}

// untrusted tells since when an authority's word of a moment does not count, if it
// does not now.
func (a *Anchor) untrusted(at time.Time) (since time.Time, is bool) {
	for _, w := range a.Windows {
		if w.trusts(at) {
			return since, is
		}
		since, is = w.Since, true
	}
	return since, is
}

// Reaches tells whether a piece of evidence that the root verified counts no longer,
// since when and why: the root was withdrawn as compromised before it was recorded,
// or one of the authorities that vouched for it is not trusted for that moment any
// more, as the root is now. A root that is not there is trusted for nothing.
func (r *TrustedRoot) Reaches(e *Evidence) (since time.Time, why string) {
	if r == nil {
		return e.At, RootName(e.Signer.MSP, e.Signer.Key) + " is not on the ledger"
	}
	if e.WithdrawnBy(r.Withdrawn) {
		return r.Withdrawn.At, r.String() + " was withdrawn, compromised since " + r.Withdrawn.CompromisedSince.UTC().Format(time.RFC3339) + ": " + r.Withdrawn.Reason
	}
	for _, use := range e.Uses {
		at, known := slices.BinarySearchFunc(r.Anchors, use.ID, func(a Anchor, id string) int { return strings.Compare(a.ID, id) })
		from, gone, what := e.At, true, "an authority"
		if known {
			from, gone = r.Anchors[at].untrusted(use.At)
			what = r.Anchors[at].Kind + " " + r.Anchors[at].Name
		}
		if gone && (why == "" || from.Before(since)) {
			since, why = from, r.String()+" no longer trusts "+what+" for "+use.At.UTC().Format(time.RFC3339)
		}
	}
	return since, why
}

// TrustChange is the body of a ProposeTrust proposal: a new text of a shared root, or
// its withdrawal.
type TrustChange struct {
	Name     string           `json:"name"`
	Origin   string           `json:"origin,omitempty"`
	Root     json.RawMessage  `json:"root,omitempty"` // sigstore.TrustedRoot.Canonical
	Withdraw *TrustWithdrawal `json:"withdraw,omitempty"`
}

// TrustWithdrawal ends a shared root as Withdrawal does.
type TrustWithdrawal struct {
	Reason           string    `json:"reason"`
	CompromisedSince time.Time `json:"compromisedSince,omitzero"`
}
