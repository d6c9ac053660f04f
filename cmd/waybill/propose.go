package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"

	"github.com/waybill-dev/waybill/chaincode/state"
)

// tally is where a proposal stands, as the proposal transactions return it.
type tally struct {
	Proposal state.Proposal `json:"proposal"`
	Yes      []string       `json:"yes"`
	No       []string       `json:"no"`
	Needed   int            `json:"needed"`
	Stale    bool           `json:"stale,omitempty"` // nobody can vote on it any more
}

// propose opens a proposal, or votes for it where it is open already.
func (a *app) propose(ctx context.Context, kind state.ProposalKind, body, done string) error {
	s, r, err := a.openProposal(ctx, kind, body)
	if err != nil {
		return err
	}
	return a.printCommitted(r, func(w io.Writer) { writeTally(w, s) }, "%s", done)
}

// openProposal opens a proposal and compares the answer with what was proposed.
func (a *app) openProposal(ctx context.Context, kind state.ProposalKind, body string) (tally, committed, error) {
	r, err := a.submit(ctx, "proposal:Open", string(kind), body)
	if err != nil {
		return tally{}, r, err
	}
	s, err := result[tally](r)
	if err == nil && (s.Proposal.Kind != kind || !proposes(s.Proposal, body)) {
		err = mismatch("transaction "+r.TxID, fmt.Sprintf("%s %s", kind, body), fmt.Sprintf("%s %s", s.Proposal.Kind, s.Proposal.Body))
	}
	return s, r, err
}

// proposes tells whether a proposal is what somebody wrote as one.
func proposes(p state.Proposal, text string) bool {
	if p.Kind != state.ProposePolicy {
		return sameJSON([]byte(text), p.Body)
	}
	written, err := policy.ParseText([]byte(text))
	return err == nil && bytes.Equal(written.Canonical(), p.Body) && (p.Source == text || p.Source == "" && text == string(p.Body))
}

// sameJSON tells whether two documents say the same.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func writeTally(w io.Writer, s tally) {
	p := s.Proposal
	switch p.Status {
	case state.ProposalAccepted:
		if p.Kind == state.ProposePolicy {
			fmt.Fprintf(w, "in force as version %d\n", p.Version)
			return
		}
		fmt.Fprintln(w, "accepted and in force")
	case state.ProposalOpen:
		fmt.Fprintf(w, "proposal %s: %d of %d votes (%s)\n", sanitize(p.ID), len(s.Yes), s.Needed, sanitize(strings.Join(s.Yes, ", ")))
		fmt.Fprintf(w, "an admin of another organisation: waybill proposal vote %s yes --as ORG/admin\n", sanitize(p.ID))
	default:
		fmt.Fprintf(w, "proposal %s is %s\n", sanitize(p.ID), sanitize(string(p.Status)))
	}
}
