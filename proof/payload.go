package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// payload is a common.Payload: what a client signs.
type payload struct {
	header, signatureHeader []byte // common.ChannelHeader, common.SignatureHeader
	kind                    uint64
	channel, id             string
	extension               []byte
	at                      time.Time // claimed by the client
	creator, nonce          []byte
	data                    []byte
}

func parsePayload(b []byte) (*payload, error) {
	f, err := parse("common.Payload", b)
	if err != nil {
		return nil, err
	}
	h, err := parse("common.Header", f.one(1))
	if err != nil {
		return nil, err
	}
	c, err := parse("common.ChannelHeader", h.one(1))
	if err != nil {
		return nil, err
	}
	s, err := parse("common.SignatureHeader", h.one(2))
	if err != nil {
		return nil, err
	}
	t, err := parse("google.protobuf.Timestamp", c.one(3))
	if err != nil {
		return nil, err
	}
	if c.numbers[2] != 0 || c.numbers[6] != 0 {
		return nil, fmt.Errorf("a header of version %d and epoch %d: %w", c.numbers[2], c.numbers[6], errUnknown)
	}
	if t.numbers[1] > maxSeconds || t.numbers[2] >= 1e9 {
		return nil, errors.New("a time that is none")
	}
	return &payload{
		header: h.one(1), signatureHeader: h.one(2), kind: c.numbers[1], channel: c.text(4), id: c.text(5), extension: c.one(7),
		at:      time.Unix(int64(t.numbers[1]), int64(t.numbers[2])).UTC(), //nolint:gosec // G115: checked
		creator: s.one(1), nonce: s.one(2), data: f.one(2),
	}, nil
}

// maxSeconds is the end of the year 9999.
const maxSeconds = 253402300799

// checkID tells whether the transaction's id is that of its creator and nonce.
func (p *payload) checkID() error {
	sum := sha256.Sum256(append(bytes.Clone(p.nonce), p.creator...))
	if want := hex.EncodeToString(sum[:]); p.id != want {
		return fmt.Errorf("transaction %.80q has not the id %s of its creator and nonce", p.id, want)
	}
	return nil
}

// invocation is a call of a chaincode, and what peers signed as its result.
type invocation struct {
	*payload
	action       fields // protos.ChaincodeActionPayload
	response     []byte // protos.ProposalResponsePayload: what the peers signed
	endorsements [][]byte
	chaincode    string
	args         [][]byte
}

// parseInvocation reads a payload of an endorsed transaction down to the endorsements.
func parseInvocation(b []byte) (*invocation, error) {
	p, err := parsePayload(b)
	if err != nil {
		return nil, err
	}
	if p.kind != typeEndorsed {
		return nil, fmt.Errorf("a transaction of type %d calls no chaincode", p.kind)
	}
	if err := p.checkID(); err != nil {
		return nil, err
	}
	v := &invocation{payload: p}
	tx, err := parse("protos.Transaction", p.data)
	if err != nil {
		return nil, err
	}
	if len(tx.all(1)) != 1 {
		return nil, fmt.Errorf("a transaction of %d actions: want one", len(tx.all(1)))
	}
	action, err := parse("protos.TransactionAction", tx.one(1))
	if err != nil {
		return nil, err
	}
	// Fabric asks only that it can be read. Were it another, who asked and who sent would be two.
	if !bytes.Equal(action.one(1), p.signatureHeader) {
		return nil, errors.New("the action is of another creator than the transaction")
	}
	if v.action, err = parse("protos.ChaincodeActionPayload", action.one(2)); err != nil {
		return nil, err
	}
	endorsed, err := parse("protos.ChaincodeEndorsedAction", v.action.one(2))
	if err != nil {
		return nil, err
	}
	v.response, v.endorsements = endorsed.one(1), endorsed.all(2)
	return v, v.parseProposal(v.action.one(1))
}

// parseProposal reads a protos.ChaincodeProposalPayload, without the transient part, which no peer signs.
func (v *invocation) parseProposal(b []byte) error {
	extension, err := parse("protos.ChaincodeHeaderExtension", v.extension)
	if err != nil {
		return err
	}
	called, err := parse("protos.ChaincodeID", extension.one(2))
	if err != nil {
		return err
	}
	for _, level := range []struct {
		what  string
		field int
	}{{"protos.ChaincodeProposalPayload", 1}, {"protos.ChaincodeInvocationSpec", 1}} {
		f, err := parse(level.what, b)
		if err != nil {
			return err
		}
		b = f.one(level.field)
	}
	spec, err := parse("protos.ChaincodeSpec", b)
	if err != nil {
		return err
	}
	id, err := parse("protos.ChaincodeID", spec.one(2))
	if err != nil {
		return err
	}
	input, err := parse("protos.ChaincodeInput", spec.one(3))
	if err != nil {
		return err
	}
	if v.chaincode = id.text(2); v.chaincode == "" || v.chaincode != called.text(2) {
		return fmt.Errorf("the call is of chaincode %q, and its header of %q", v.chaincode, called.text(2))
	}
	v.args = input.all(1)
	return nil
}

// result is what a chaincode answered, as the peers signed it.
type result struct {
	status  uint64
	payload []byte
	results []namespace
}

// parseResult reads a protos.ProposalResponsePayload, and checks that it answers the proposal.
func (v *invocation) parseResult() (*result, error) {
	f, err := parse("protos.ProposalResponsePayload", v.response)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	for _, b := range [][]byte{v.header, v.signatureHeader, v.action.one(1)} {
		hash.Write(b)
	}
	if !bytes.Equal(hash.Sum(nil), f.one(1)) {
		return nil, errors.New("the peers answered another proposal")
	}
	a, err := parse("protos.ChaincodeAction", f.one(2))
	if err != nil {
		return nil, err
	}
	id, err := parse("protos.ChaincodeID", a.one(4))
	if err != nil {
		return nil, err
	}
	if id.text(2) != v.chaincode {
		return nil, fmt.Errorf("chaincode %q was called, and %q answered", v.chaincode, id.text(2))
	}
	response, err := parse("protos.Response", a.one(3))
	if err != nil {
		return nil, err
	}
	r := &result{status: response.numbers[1], payload: response.one(3)}
	r.results, err = parseResults(a.one(1))
	return r, err
}

// endorsers checks the endorsements: each by a peer of a member at the time of the proposal, no peer twice. They are
// listed by organisation; those of a second peer of one are checked and do not count.
func (c *configuration) endorsers(v *invocation) ([]Endorser, error) {
	var list []Endorser
	seen, peers := map[string]bool{}, map[string]bool{}
	for i, raw := range v.endorsements {
		f, err := parse("protos.Endorsement", raw)
		if err != nil {
			return nil, err
		}
		who, err := c.signer(f.one(1), v.at, rolePeer)
		if err != nil {
			return nil, fmt.Errorf("endorsement %d: %w", i, err)
		}
		if err := verify(who.cert, f.one(2), v.response, f.one(1)); err != nil {
			return nil, fmt.Errorf("endorsement %d by %s: %w", i, who.msp, err)
		}
		if peer := string(who.cert.Raw); peers[peer] {
			return nil, fmt.Errorf("endorsement %d: a second one of the same peer of %s", i, who.msp)
		} else {
			peers[peer] = true
		}
		if !seen[who.msp] {
			seen[who.msp] = true
			list = append(list, Endorser{MSP: who.msp, Name: who.cert.Subject.CommonName})
		}
	}
	return list, nil
}

// signer checks that an identity is of a member of the channel at that time, and has the role; "" for any.
func (c *configuration) signer(b []byte, at time.Time, role string) (identity, error) {
	who, err := parseIdentity(b)
	if err != nil {
		return who, err
	}
	a := c.members[who.msp]
	if a == nil {
		return who, fmt.Errorf("%q is no member of the channel", who.msp)
	}
	has, err := a.check(who.cert, at)
	if err != nil {
		return who, fmt.Errorf("%q of %s: %w", who.cert.Subject.CommonName, who.msp, err)
	}
	if role != "" && has != role {
		return who, fmt.Errorf("%q of %s is a %s: want a %s", who.cert.Subject.CommonName, who.msp, has, role)
	}
	return who, nil
}
