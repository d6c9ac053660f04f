package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/network/channel"
)

// channelView is a proposed change of the channel against the configuration in force; -o json prints it.
type channelView struct {
	ID     string               `json:"id"`
	Title  string               `json:"title"`
	Status state.ProposalStatus `json:"status"`
	Yes    []string             `json:"yes"`
	No     []string             `json:"no"`
	Needed int                  `json:"needed"` // of the members' votes
	// Outdated: another vote changed the channel or the members since; nobody can vote on it any more.
	Outdated bool `json:"outdated,omitempty"`
	// State is "waiting", "ready" to be submitted, "in force", or "stale": the configuration has moved on.
	State string `json:"state"`
	Why   string `json:"why,omitempty"` // it is stale
	channel.Explanation
	Needs []channel.Need `json:"needs"` // what the channel wants of the signatures
	// Useless are signatures that the channel does not count.
	Useless []string `json:"useless,omitempty"`
	Becomes []string `json:"becomes,omitempty"` // of what an organisation that leaves has on the ledger

	opener     string // MSP id
	body       state.ChannelChange
	hash       string
	config     *common.Config
	signatures []*common.ConfigSignature
}

const (
	channelWaiting = "waiting"
	channelReady   = "ready"
	channelInForce = "in force"
	channelStale   = "stale"
)

// view reads a proposal from one's own peer and compares it with the configuration that this peer has.
func (d channelDoor) view(ctx context.Context, id string) (channelView, error) {
	if err := requireFullID("proposal", id, "waybill proposal list"); err != nil {
		return channelView{}, err
	}
	s, err := d.proposal(ctx, id)
	if err != nil {
		return channelView{}, err
	}
	if s.Proposal.Kind != state.ProposeChannel {
		return channelView{}, usagef("proposal %.12s is no change of the channel: see it with waybill proposal show", id)
	}
	var body state.ChannelChange
	if err := json.Unmarshal(s.Proposal.Body, &body); err != nil {
		return channelView{}, fmt.Errorf("proposal %s: %w", id, err)
	}
	ballots, err := evaluate[[]state.Ballot](ctx, d.ownPeer, "channel:Votes", id)
	if err != nil {
		return channelView{}, err
	}
	v := channelView{
		ID: id, Title: body.Title, Status: s.Proposal.Status, Yes: s.Yes, No: s.No, Needed: s.Needed, Outdated: s.Stale,
		State: channelWaiting, opener: s.Proposal.By.MSP, body: body, hash: s.Proposal.Hash, signatures: configSignatures(ballots),
	}
	if v.config, _, err = d.current(ctx); err != nil {
		return v, err
	}
	v.Explanation, err = channel.Explain(d.name, v.config, body.Update)
	switch {
	case errors.Is(err, channel.ErrInForce):
		v.State = channelInForce
		v.agrees()
		return v, nil
	case err != nil:
		v.State, v.Why = channelStale, err.Error()
		return v, nil
	}
	v.compare(body)
	if v.Needs, v.Useless, err = channel.Needs(d.name, v.config, body.Update, v.signatures, time.Now()); err != nil {
		return v, err
	}
	if len(channel.Unmet(v.Needs)) == 0 && v.decided() {
		v.State = channelReady
	}
	if len(v.Removed) > 0 {
		v.Becomes, err = d.leaves(ctx, v.Removed[0])
	}
	return v, err
}

// membership says whether the members' list changes with it.
func (v channelView) membership() bool { return v.body.Add+v.body.Remove != "" }

// decided says whether the ledger's own vote is won, or none is needed: an organisation comes and goes in the channel and
// on the ledger together, so that the vote comes first.
func (v channelView) decided() bool {
	return !v.membership() || v.Status == state.ProposalAccepted
}

// votable says whether the ledger takes a vote on it still.
func (v channelView) votable() bool {
	return v.Status == state.ProposalOpen && !v.Outdated || v.Status == state.ProposalAccepted
}

// agrees warns where the channel, which has the update in force, is not what the proposal says of the members.
func (v *channelView) agrees() {
	if id := v.body.Add; id != "" && !channel.Takes(v.config, id) {
		v.Warnings = append(v.Warnings, fmt.Sprintf("the proposal invites %s, which is not in the channel", id))
	}
	if id := v.body.Remove; id != "" && channel.Takes(v.config, id) {
		v.Warnings = append(v.Warnings, fmt.Sprintf("the proposal ends the membership of %s, which is in the channel", id))
	}
}

// compare warns where what the members' list becomes is not what the update does.
func (v *channelView) compare(body state.ChannelChange) {
	if have := v.config.GetSequence(); uint64(body.Sequence) > have { //nolint:gosec // G115: the contract takes none below 0
		v.Warnings = append(v.Warnings, fmt.Sprintf("it says that it was computed from configuration %d, and your peer has %d", body.Sequence, have))
	}
	for _, x := range []struct {
		said, word string
		does       []string
	}{{body.Add, "invites", v.Added}, {body.Remove, "ends the membership of", v.Removed}} {
		if x.said != "" && !slices.Equal(x.does, []string{x.said}) {
			v.Warnings = append(v.Warnings, fmt.Sprintf("the proposal %s %s, and the update does not say the same of it", x.word, x.said))
		}
		if x.said == "" && len(x.does) > 0 {
			v.Warnings = append(v.Warnings, fmt.Sprintf("the update concerns %s, and the members' list stays as it is", strings.Join(x.does, ", ")))
		}
	}
}

// leaves says what becomes of what an organisation has on the ledger when its membership ends.
func (d channelDoor) leaves(ctx context.Context, mspID string) ([]string, error) {
	out := []string{
		mspID + "'s quarantines hold nothing any more: what it alone holds back may be released",
		mspID + "'s approvals, grants and votes count no more; what it did stays readable",
	}
	keys, err := evaluate[[]state.TrustKey](ctx, d.ownPeer, "key:List")
	if err != nil {
		return nil, err
	}
	count := 0
	for _, k := range keys {
		if k.MSP == mspID && k.Withdrawn == nil {
			count++
		}
	}
	out = append(out, fmt.Sprintf("%d keys of %s vouch for nothing any more: evidence that they signed counts no more", count, mspID))
	type claim struct {
		Host      provenance.Host `json:"host"`
		Namespace string          `json:"namespace"`
		Owner     string          `json:"owner"`
	}
	claims, err := evaluate[[]claim](ctx, d.ownPeer, "registry:List")
	if err != nil {
		return nil, err
	}
	for _, c := range claims {
		if c.Owner == mspID {
			out = append(out, fmt.Sprintf("registry %s stays %s's, and nobody records its events until a vote gives it to another: waybill registry add", strings.TrimSuffix(string(c.Host)+"/"+c.Namespace, "/"), mspID))
		}
	}
	return out, nil
}

func (v channelView) write(w io.Writer) {
	fmt.Fprintf(w, "%s: %s by %d of %d votes", sanitize(v.Title), sanitize(string(v.Status)), len(v.Yes), v.Needed)
	fmt.Fprintf(w, " (%s)", sanitize(strings.Join(v.Yes, ", ")))
	if len(v.No) > 0 {
		fmt.Fprintf(w, "; against: %s", sanitize(strings.Join(v.No, ", ")))
	}
	fmt.Fprint(w, "\n\n")
	if v.Outdated {
		fmt.Fprintln(w, "nobody can vote on it any more: another vote changed the channel or the members since")
	}
	switch v.State {
	case channelInForce:
		fmt.Fprintln(w, "what it changes is in force")
		if !v.decided() {
			fmt.Fprintln(w, "on the ledger it is not: the members' list is as before until the vote is won")
		}
		writeExplanation(w, v.Explanation)
		return
	case channelStale:
		fmt.Fprintf(w, "it is of no use any more: %s\npropose it anew\n", sanitize(v.Why))
		return
	}
	fmt.Fprintf(w, "against configuration %d, in force now, by the bytes of the update:\n", v.Sequence)
	writeExplanation(w, v.Explanation)
	for _, line := range v.Becomes {
		fmt.Fprintf(w, "  %s\n", sanitize(line))
	}
	fmt.Fprintln(w)
	for _, n := range v.Needs {
		met := "not met yet"
		if n.Met {
			met = "met"
		}
		fmt.Fprintf(w, "the signatures must meet %s: %s\n", sanitize(n.Policy), met)
	}
	if v.membership() {
		met := "not won yet"
		if v.decided() {
			met = "won"
		}
		fmt.Fprintf(w, "and the members' vote, which changes their list: %s\n", met)
	}
	for _, u := range v.Useless {
		fmt.Fprintf(w, "of no use: %s\n", sanitize(u))
	}
}

func newChannelShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Print what a proposed change would do, from its bytes", Args: operands("ID"),
		Example: examples(`waybill channel show $ID --as security/admin`),
		Long: `Print what a proposed change of the channel would do. Your own organisation's
peer hands out the update and the configuration in force; this program computes
what the update would change, and says it in words. What it does not understand
it says, too.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.onChange(ctx, true, args[0], func(d channelDoor, v channelView) error {
				return a.emit(v, v.write)
			})
		}),
	}
}

func newChannelVoteCmd(a *app) *cobra.Command {
	var reason string
	var anyway bool
	cmd := &cobra.Command{
		Use: "vote ID", Short: "Sign a change of the channel for your organisation, as its admin", Args: operands("ID"),
		Example: examples(`waybill channel vote $ID --as security/admin`),
		Long: `Sign a change of the channel for your organisation, as its admin. What would
change is printed first, and what is not understood is not signed unless
--despite-warnings says so. A signature cannot be taken back: it is on the
ledger, and counts until the configuration moves on. Signed again, as when your
certificate was renewed, the newer signature counts. A no needs no signature:
waybill proposal vote ID no.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.onChange(ctx, false, args[0], func(d channelDoor, v channelView) error {
				v.write(a.errOut)
				if err := v.mayVote(anyway); err != nil {
					return err
				}
				header, signature, err := d.signUpdate(v.body.Update)
				if err != nil {
					return err
				}
				r, err := d.submit(ctx, nil, "channel:Vote", v.ID, v.hash, header, signature, reason)
				if err != nil {
					return err
				}
				s, err := result[tally](r)
				if err != nil {
					return err
				}
				if s.Proposal.ID != v.ID || s.Proposal.Hash != v.hash {
					return mismatch("transaction "+r.TxID, "proposal "+v.ID, "proposal "+s.Proposal.ID)
				}
				return a.printCommitted(shortCommitted(r, s), func(w io.Writer) { writeChannelTally(w, s) }, "signed: %s", v.Title)
			})
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().BoolVar(&anyway, "despite-warnings", false, "sign what is not understood, or not as this program would write it")
	return cmd
}

// mayVote refuses what nobody should sign, and what the ledger would.
func (v channelView) mayVote(anyway bool) error {
	switch {
	case !v.votable():
		status := string(v.Status)
		if v.Outdated {
			status = "outdated: another vote changed the channel or the members since it was made"
		}
		return hint(provenance.Errorf(provenance.Stale, "nobody votes on it any more, it is %s", status), "propose it anew")
	case v.State == channelInForce && !v.decided() && (anyway || len(v.Warnings) == 0):
		return nil // the ledger follows
	}
	return v.signable(anyway)
}

// signable refuses what nobody should sign.
func (v channelView) signable(anyway bool) error {
	switch {
	case v.State == channelInForce:
		return provenance.Errorf(provenance.Conflict, "it is in force already")
	case v.State == channelStale:
		return hint(provenance.Errorf(provenance.Stale, "the configuration has moved on since it was proposed: %s", v.Why), "propose it anew")
	case len(v.Warnings) > 0 && !anyway:
		return hint(provenance.Errorf(provenance.Conflict, "%d things in this update are not understood, or not as they should be: nothing was signed", len(v.Warnings)),
			"ask whoever proposed it; sign nevertheless with --despite-warnings")
	}
	return nil
}
