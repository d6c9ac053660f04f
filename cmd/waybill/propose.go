package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/state"
)

// standing is where a proposal stands, as the proposal transactions return it.
type standing struct {
	Proposal state.Proposal `json:"proposal"`
	Yes      []string       `json:"yes"`
	No       []string       `json:"no"`
	Needed   int            `json:"needed"`
}

// propose opens a proposal, or votes for it where it is open already.
func (a *app) propose(ctx context.Context, kind state.ProposalKind, body, said string) error {
	s, r, err := a.openProposal(ctx, kind, body)
	if err != nil {
		return err
	}
	return a.printAct(r, func(w io.Writer) { writeStanding(w, s) }, "%s", said)
}

// openProposal opens a proposal and compares the answer with what was proposed.
func (a *app) openProposal(ctx context.Context, kind state.ProposalKind, body string) (standing, receipt, error) {
	r, err := a.act(ctx, "proposal:Open", string(kind), body)
	if err != nil {
		return standing{}, r, err
	}
	s, err := result[standing](r)
	if err == nil && (s.Proposal.Kind != kind || !sameJSON([]byte(body), s.Proposal.Body)) {
		err = otherQuestion("transaction "+r.TxID, fmt.Sprintf("%s %s", kind, body), fmt.Sprintf("%s %s", s.Proposal.Kind, s.Proposal.Body))
	}
	return s, r, err
}

// sameJSON tells whether two documents say the same.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func writeStanding(w io.Writer, s standing) {
	p := s.Proposal
	switch p.Status {
	case state.ProposalAccepted:
		if p.Kind == state.ProposePolicy {
			fmt.Fprintf(w, "in force as version %d\n", p.Version)
			return
		}
		fmt.Fprintln(w, "accepted and in force")
	case state.ProposalOpen:
		fmt.Fprintf(w, "proposal %s: %d of %d votes (%s)\n", clean(p.ID), len(s.Yes), s.Needed, clean(strings.Join(s.Yes, ", ")))
		fmt.Fprintf(w, "an admin of another organisation: waybill proposal vote %s yes --as ORG/admin\n", clean(p.ID))
	default:
		fmt.Fprintf(w, "proposal %s is %s\n", clean(p.ID), clean(string(p.Status)))
	}
}
