package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Question is a call that reads, and that peers of several organisations are to
// answer alike.
type Question struct {
	Chaincode string // "" is the client's own
	Fn        string
	Args      []string
}

// Attestation is one answer to a Question under the signatures of several
// organisations' peers. It was never sent to an orderer.
type Attestation struct {
	TxID    string
	Payload []byte   // common.Payload, as a transaction on the chain has it
	Result  []byte   // what the chaincode answered
	Orgs    []string // whose peers signed it, sorted
	// Newest is the highest block that wrote anything of what was read; 0 where nothing was there.
	Newest uint64
}

// Accept tells whether an attestation holds that one or more organisations signed: their
// signatures are not looked at here. Its error is WB_UNAVAILABLE where that cannot be
// told now.
type Accept func(ctx context.Context, a Attestation) error

// How long an attestation is waited for: those who are asked first have hedge to
// answer before the others are asked as well, and where answers differ all are
// asked again, attestRuns times in all.
const (
	hedge      = 2 * time.Second
	attestRuns = 5
)

// Attest asks peers of orgs (MSP ids), one of each, until need of them have signed
// the same answer byte for byte, and accept accepts it. The client's own organisation
// is asked first, the others in the order given; who is slow, is down, answers
// otherwise or signs what is not accepted is passed over as long as there are others.
//
// Where too few agree the question is asked again, at a later time, a bounded
// number of times: peers at different heights may differ for a moment. Then it
// is WB_UNAVAILABLE, and says who answered what. An error of the contract that
// need organisations gave is returned with its code: one that lies keeps
// nobody's receipt from being made. Fewer orgs than need are WB_INVALID.
func (c *Client) Attest(ctx context.Context, q Question, orgs []string, need int, accept Accept) (Attestation, error) {
	if need < 1 || need > len(orgs) {
		return Attestation{}, provenance.Errorf(provenance.Invalid, "signatures of %d organisations: the channel has %d", need, len(orgs))
	}
	delay := c.retry.base
	for run := 1; ; run++ {
		a, err := c.attestOnce(ctx, q, c.ownFirst(orgs), need, accept)
		if run == attestRuns || !errors.Is(err, errDisagree) {
			return a, err
		}
		if err := pause(ctx, delay/2+rand.N(delay)); err != nil {
			return Attestation{}, translate(err, q.Fn)
		}
		delay = min(2*delay, c.retry.max)
	}
}

func (c *Client) ownFirst(orgs []string) []string {
	orgs = slices.Clone(orgs)
	if i := slices.Index(orgs, c.config.MSPID); i > 0 {
		copy(orgs[1:], orgs[:i])
		orgs[0] = c.config.MSPID
	}
	return orgs
}

// signed is one organisation's answer.
type signed struct {
	org     string
	payload *common.Payload
	tx      *peer.Transaction
	action  *peer.ChaincodeActionPayload
	err     error
}

func (c *Client) attestOnce(ctx context.Context, q Question, orgs []string, need int, accept Accept) (Attestation, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Endorse)
	defer cancel() // whoever is still asked when it is done
	as := c.as.Load()
	chaincode := q.Chaincode
	if chaincode == "" {
		chaincode = c.config.Chaincode
	}
	proposal, err := as.network.GetContract(chaincode).NewProposal(q.Fn, client.WithArguments(q.Args...))
	if err != nil {
		return Attestation{}, provenance.Wrap(provenance.Internal, err, "%s: propose", q.Fn)
	}
	answers := make(chan signed, len(orgs))
	asked := 0
	ask := func(n int) {
		for ; n > 0 && asked < len(orgs); n, asked = n-1, asked+1 {
			go func(org string) { answers <- as.attested(ctx, proposal, org, q.Fn) }(orgs[asked])
		}
	}
	slow := time.NewTimer(hedge)
	defer slow.Stop()
	var all []*signed
	for ask(need); len(all) < asked; {
		select {
		case <-slow.C:
			ask(len(orgs))
			continue
		case a := <-answers:
			all = append(all, &a)
		}
		alike := agreed(all)
		if len(alike) >= need {
			a, err := accepted(ctx, proposal.TransactionID(), alike[:need], accept)
			if err == nil || !weed(ctx, proposal.TransactionID(), alike[:need], accept) {
				return a, err
			}
			alike = agreed(all)
		}
		// Who may still say the same, at best; the rest come from those not asked yet.
		ask(need - len(alike) - (asked - len(all)))
	}
	return Attestation{}, dissent(q.Fn, all, need)
}

// attested asks a peer of one organisation. The proposal is the same for all, and signed once
// for each: who is asked is not part of what is signed.
func (s *session) attested(ctx context.Context, p *client.Proposal, org, fn string) signed {
	fail := func(err error) signed { return signed{org: org, err: translate(err, fn)} }
	raw, err := p.Bytes()
	if err != nil {
		return fail(err)
	}
	var proposed gateway.ProposedTransaction
	if err := decode(raw, &proposed, "proposal"); err != nil {
		return fail(err)
	}
	proposed.EndorsingOrganizations = []string{org}
	if raw, err = proto.Marshal(&proposed); err != nil {
		return fail(err)
	}
	signature, err := s.sign(p.Digest())
	if err != nil {
		return fail(err)
	}
	one, err := s.gateway.NewSignedProposal(raw, signature)
	if err != nil {
		return fail(err)
	}
	tx, err := one.EndorseWithContext(ctx)
	if err != nil {
		return fail(err)
	}
	a, err := takeApart(tx)
	if err != nil {
		return fail(err)
	}
	a.org = org
	// Another's signature, which anybody can ask for, is not its own.
	var who msp.SerializedIdentity
	if err := decode(a.action.GetAction().GetEndorsements()[0].GetEndorser(), &who, "endorser"); err != nil {
		return fail(err)
	}
	if who.GetMspid() != org {
		return fail(provenance.Errorf(provenance.Internal, "a peer of %s was asked, and one of %s signed", org, line(who.GetMspid())))
	}
	return a
}

// takeApart reads what one organisation's peer signed.
func takeApart(tx *client.Transaction) (a signed, err error) {
	raw, err := tx.Bytes()
	if err != nil {
		return a, err
	}
	var prepared gateway.PreparedTransaction
	a.payload, a.tx, a.action = &common.Payload{}, &peer.Transaction{}, &peer.ChaincodeActionPayload{}
	if err := decode(raw, &prepared, "endorsed transaction"); err != nil {
		return a, err
	}
	if err := decode(prepared.GetEnvelope().GetPayload(), a.payload, "payload"); err != nil {
		return a, err
	}
	if err := decode(a.payload.GetData(), a.tx, "transaction"); err != nil {
		return a, err
	}
	if len(a.tx.GetActions()) != 1 {
		return a, provenance.Errorf(provenance.Internal, "an endorsed transaction of %d actions", len(a.tx.GetActions()))
	}
	if err := decode(a.tx.GetActions()[0].GetPayload(), a.action, "action"); err != nil {
		return a, err
	}
	if len(a.action.GetAction().GetEndorsements()) != 1 {
		return a, provenance.Errorf(provenance.Internal, "%d signatures of one peer", len(a.action.GetAction().GetEndorsements()))
	}
	return a, nil
}

func (a signed) response() []byte { return a.action.GetAction().GetProposalResponsePayload() }

// accepted makes one attestation of the answers, and has it looked at.
func accepted(ctx context.Context, txID string, all []*signed, accept Accept) (Attestation, error) {
	a, err := combine(txID, all)
	if err == nil {
		err = accept(ctx, a)
	}
	return a, err
}

// weed sets aside the answers of those whose signature alone is not accepted, and tells
// whether there were any. Whoever signs the same as the others, and signs it badly,
// would keep every receipt from being made.
func weed(ctx context.Context, txID string, all []*signed, accept Accept) (found bool) {
	for _, one := range all {
		_, err := accepted(ctx, txID, []*signed{one}, accept)
		if provenance.CodeOf(err) == provenance.Unavailable || ctx.Err() != nil {
			return false // it says nothing about the signature
		}
		if err != nil {
			one.err, found = provenance.Wrap(provenance.Internal, err, "what it signs does not hold"), true
		}
	}
	return found
}

// agreed returns the largest number of answers that are the same, in the order they came.
func agreed(all []*signed) (most []*signed) {
	for i, one := range all {
		if one.err != nil {
			continue
		}
		var alike []*signed
		for _, other := range all[i:] {
			if other.err == nil && bytes.Equal(one.response(), other.response()) {
				alike = append(alike, other)
			}
		}
		if len(alike) > len(most) {
			most = alike
		}
	}
	return most
}

// combine makes one transaction of the answers, with everybody's signature, by organisation.
func combine(txID string, all []*signed) (Attestation, error) {
	all = slices.SortedFunc(slices.Values(all), func(a, b *signed) int { return strings.Compare(a.org, b.org) })
	out := Attestation{TxID: txID}
	action, tx, payload := proto.CloneOf(all[0].action), proto.CloneOf(all[0].tx), proto.CloneOf(all[0].payload)
	action.Action.Endorsements = nil
	for _, a := range all {
		out.Orgs = append(out.Orgs, a.org)
		action.Action.Endorsements = append(action.Action.Endorsements, a.action.GetAction().GetEndorsements()...)
	}
	var err error
	if tx.Actions[0].Payload, err = proto.Marshal(action); err != nil {
		return out, provenance.Wrap(provenance.Internal, err, "action")
	}
	if payload.Data, err = proto.Marshal(tx); err != nil {
		return out, provenance.Wrap(provenance.Internal, err, "transaction")
	}
	if out.Payload, err = proto.Marshal(payload); err != nil {
		return out, provenance.Wrap(provenance.Internal, err, "payload")
	}
	_, result, sets, err := results(tx.GetActions()[0])
	if err != nil {
		return out, err
	}
	out.Result = result.GetResponse().GetPayload()
	for _, set := range sets.GetNsRwset() {
		var kv kvrwset.KVRWSet
		if err := decode(set.GetRwset(), &kv, "reads"); err != nil {
			return out, err
		}
		for _, r := range kv.GetReads() {
			out.Newest = max(out.Newest, r.GetVersion().GetBlockNum())
		}
	}
	return out, nil
}

// dissent says why too few organisations signed the same.
func dissent(fn string, all []*signed, need int) error {
	answered, refused := map[string][]string{}, map[provenance.Code][]*signed{}
	var down []string
	for _, a := range all {
		code := provenance.CodeOf(a.err)
		switch {
		case a.err == nil:
			answered[string(a.response())] = append(answered[string(a.response())], a.org)
		case code == provenance.Unavailable || code == provenance.Internal:
			down = append(down, fmt.Sprintf("%s: %s", a.org, line(a.err.Error())))
		default:
			refused[code] = append(refused[code], a)
		}
	}
	parts := []string{}
	for _, orgs := range answered {
		slices.Sort(orgs)
		parts = append(parts, strings.Join(orgs, ", ")+" agree")
	}
	for _, code := range slices.Sorted(maps.Keys(refused)) {
		if len(refused[code]) >= need {
			return refused[code][0].err
		}
		for _, a := range refused[code] {
			parts = append(parts, fmt.Sprintf("%s: %s", a.org, line(a.err.Error())))
		}
	}
	slices.Sort(parts)
	slices.Sort(down)
	text := strings.Join(append(parts, down...), "; ")
	if len(answered)+len(refused) > 1 {
		return provenance.Wrap(provenance.Unavailable, fmt.Errorf("%w: %s", errDisagree, text), "%s: want the same answer of %d organisations", fn, need)
	}
	return provenance.Errorf(provenance.Unavailable, "%s: too few organisations' peers answer, want %d: %s", fn, need, text)
}
