package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Transaction is a transaction on the chain.
type Transaction struct {
	ID        string     `json:"id"`
	Block     uint64     `json:"block"`
	Index     int        `json:"index"`
	Valid     bool       `json:"valid"`
	Status    string     `json:"status"` // "valid", or the number that peers gave (peer.TxValidationCode)
	Chaincode string     `json:"chaincode"`
	Function  string     `json:"function"`
	Arguments []string   `json:"arguments"` // one that is no text, or long, as its hash
	Creator   Endorser   `json:"creator"`
	At        time.Time  `json:"at"` // claimed by its client
	Endorsers []Endorser `json:"endorsers"`
	Writes    []Written  `json:"writes"`
	// Attested are the peers that signed its status.
	Attested []Endorser `json:"attested"`
}

// Written is a key that a transaction wrote.
type Written struct {
	Key     string `json:"key"` // its parts with slashes between
	Hash    string `json:"hash,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
}

// The system chaincode that knows a transaction's status, and the function that tells it.
const (
	statusChaincode = "qscc"
	statusFunction  = "GetTransactionByID"
)

func (v *verification) transaction() error {
	r := &v.report
	k, under, err := v.openBlock()
	if err := r.step("block", "data, header and the orderers' signatures", err); err != nil {
		return err
	}
	t, envelope, err := v.find(k, under)
	if err := r.step("transaction", "its creator, its endorsements and what it wrote", err); err != nil {
		return err
	}
	status, err := parseInvocation(v.file.Status)
	if err == nil {
		err = v.isStatus(status)
	}
	if err == nil {
		err = status.putBack(envelope)
	}
	if err := r.step("status question", statusFunction+" of "+v.file.TransactionID, err); err != nil {
		return err
	}
	got, attested, err := v.attested("status", status)
	if err != nil {
		return err
	}
	code, err := statusOf(got)
	if err := r.step("status answer", "the status of this very transaction", err); err != nil {
		return err
	}
	t.Valid, t.Status, t.Attested = code == 0, "valid", attested
	if !t.Valid {
		t.Status = fmt.Sprintf("invalid: code %d", code)
	}
	r.Transaction = t
	v.sayTransaction(t)
	if o := v.options; o.MaxAge > 0 && o.At.Sub(status.at) > o.MaxAge {
		return r.step("age", "", fmt.Errorf("the status is as of %s, which is longer ago than %s: %w", status.at.Format(time.RFC3339), o.MaxAge, errStale))
	}
	return nil
}

// openBlock reads the block, and returns the configuration it stands under.
func (v *verification) openBlock() (*block, *configuration, error) {
	k, err := parseBlock(v.file.Block)
	if err != nil {
		return nil, nil, err
	}
	if k.configuresIt {
		return nil, nil, errors.New("it is a configuration block, which the configuration chain proves")
	}
	if k.number > v.floor.number {
		return nil, nil, fmt.Errorf("block %d is higher than the floor, %d", k.number, v.floor.number)
	}
	if k.number == v.floor.number && !bytes.Equal(k.hash(), v.floor.hash()) {
		return nil, nil, fmt.Errorf("the floor is another block %d", k.number)
	}
	under, err := v.chain.verify(k)
	return k, under, err
}

// find finds the transaction in its block, where it is once, and takes it apart.
func (v *verification) find(k *block, under *configuration) (*Transaction, []byte, error) {
	at := -1
	for i, raw := range k.data {
		e, _ := parse("common.Envelope", raw) // parseBlock read it
		p, err := parsePayload(e.one(1))
		if err != nil || p.id != v.file.TransactionID {
			continue // who made one that cannot be read has made no transaction
		}
		if at >= 0 {
			return nil, nil, fmt.Errorf("transaction %s is in the block twice", p.id)
		}
		at = i
	}
	if at < 0 {
		return nil, nil, fmt.Errorf("transaction %.80q is not in block %d", v.file.TransactionID, k.number)
	}
	t, err := v.takeApart(k.data[at], under)
	if err != nil {
		return nil, nil, err
	}
	t.Block, t.Index = k.number, at
	return t, k.data[at], nil
}

func (v *verification) takeApart(envelope []byte, under *configuration) (*Transaction, error) {
	e, _ := parse("common.Envelope", envelope) // parseBlock read it
	call, err := parseInvocation(e.one(1))
	if err != nil {
		return nil, err
	}
	if call.channel != v.file.Channel {
		return nil, fmt.Errorf("it is of channel %q, and the file of %q", call.channel, v.file.Channel)
	}
	who, err := under.signer(call.creator, call.at, "")
	if err != nil {
		return nil, fmt.Errorf("its creator: %w", err)
	}
	if err := verify(who.cert, e.one(2), e.one(1)); err != nil {
		return nil, fmt.Errorf("its creator: %w", err)
	}
	got, err := call.parseResult()
	if err != nil {
		return nil, err
	}
	endorsers, err := under.endorsers(call)
	if err != nil {
		return nil, err
	}
	t := &Transaction{
		ID: call.id, Chaincode: call.chaincode, Creator: Endorser{who.msp, who.cert.Subject.CommonName}, At: call.at,
		Arguments: []string{}, Endorsers: append([]Endorser{}, endorsers...), Writes: []Written{},
	}
	for i, a := range call.args {
		if i == 0 {
			t.Function = shown(a)
			continue
		}
		t.Arguments = append(t.Arguments, shown(a))
	}
	for _, n := range got.results {
		for _, w := range n.writes {
			t.Writes = append(t.Writes, Written{Key: n.name + ":" + strings.ReplaceAll(w.key, "\x00", "/"), Hash: hashOf(w.value), Deleted: w.deleted})
		}
	}
	return t, nil
}

// maxShown is how much of an argument a report shows.
const maxShown = 256

// shown is an argument as text, or its hash where it is long or none.
func shown(b []byte) string {
	if len(b) > maxShown || !utf8.Valid(b) {
		return fmt.Sprintf("(%d bytes, %s)", len(b), hashOf(b))
	}
	return string(b)
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// isStatus tells whether a call asks for the status of the transaction.
func (v *verification) isStatus(call *invocation) error {
	if call.chaincode != statusChaincode || len(call.args) != 3 || string(call.args[0]) != statusFunction ||
		string(call.args[1]) != v.file.Channel || string(call.args[2]) != v.file.TransactionID {
		return fmt.Errorf("it does not ask %s for the transaction", statusChaincode)
	}
	return nil
}

// putBack puts the transaction's envelope into the response, where the peers had it when they signed.
func (v *invocation) putBack(envelope []byte) (err error) {
	v.response, err = v.withEnvelope(envelope)
	return err
}

// withEnvelope is the response with an envelope in the place of none, or none in the place of one.
func (v *invocation) withEnvelope(envelope []byte) ([]byte, error) {
	f, err := parse("protos.ProposalResponsePayload", v.response)
	if err != nil {
		return nil, err
	}
	a, err := parse("protos.ChaincodeAction", f.one(2))
	if err != nil {
		return nil, err
	}
	response, err := parse("protos.Response", a.one(3))
	if err != nil {
		return nil, err
	}
	processed, err := parse("protos.ProcessedTransaction", response.one(3))
	if err != nil {
		return nil, err
	}
	if processed.has(1) == (envelope != nil) {
		return nil, errors.New("the transaction itself is to be left out of a file, and stands in what peers signed")
	}
	whole := message{}.part(1, envelope).number(2, processed.numbers[2])
	answer := message{}.number(1, response.numbers[1]).bytes(2, response.one(2)).bytes(3, whole)
	action := message{}.bytes(1, a.one(1)).bytes(2, a.one(2)).part(3, answer).part(4, a.one(4))
	return message{}.bytes(1, f.one(1)).bytes(2, action), nil
}

// statusOf is the code that the peers signed: 0 for valid.
func statusOf(got *result) (uint64, error) {
	if got.status != 200 {
		return 0, fmt.Errorf("the peers' answer has status %d", got.status)
	}
	f, err := parse("protos.ProcessedTransaction", got.payload)
	return f.numbers[2], err
}

func (v *verification) sayTransaction(t *Transaction) {
	r := &v.report
	r.proven("Transaction %s is in block %d, which a quorum of the orderers signed: signed by %s of %s, endorsed by peers of %d organisations.", t.ID, t.Block, t.Creator.Name, t.Creator.MSP, len(t.Endorsers))
	r.proven("Peers of %d organisations signed that its status on their ledgers is: %s.", len(t.Attested), t.Status)
	r.notProven("That its status follows from the rules of the channel: no orderer signs it, these organisations' peers computed it; a replay of the chain computes it again.")
	r.notProven("That block %d is the first that holds it: where somebody sent it again, only the first of them has that status, and none has another effect.", t.Block)
	r.notProven("When it was: %s is its client's word, and was within %s of the clock of each peer that endorsed it.", t.At.Format(time.RFC3339), Window)
	r.notProven("That what it recorded still stands: later transactions may have changed it.")
}
