// Package contracttest runs a chaincode as a Fabric peer does, in the test's own
// process. To endorse and to commit are two steps: an endorsement may be kept and
// handed in later, or never, and what it read is compared again when it comes.
package contracttest

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

// Ledger is a committed state and the chaincode over it. It is not safe for
// concurrent use.
type Ledger struct {
	// Unchecked names keys whose reads are not compared at commit, to see what
	// rests on it that they are. nil: every one is.
	Unchecked func(key string) bool

	chaincode shim.Chaincode
	state     map[string]version
	guards    map[string][]byte // key-level endorsement policies
	private   map[[2]string][]byte
	commits   uint64
	// Committed is told of each transaction that is valid; nil: nobody is.
	Committed func(*Endorsement)
}

// version is a value and the commit that wrote it. A deleted key has no value
// and keeps its commit, as a read of it must not pass for one of before.
type version struct {
	value  []byte
	commit uint64
}

// New returns an empty ledger.
func New(chaincode shim.Chaincode) *Ledger {
	return &Ledger{chaincode: chaincode, state: map[string]version{}, guards: map[string][]byte{}, private: map[[2]string][]byte{}}
}

// Clone returns a ledger of the same content that goes its own way, over another
// chaincode where one is given.
func (l *Ledger) Clone(chaincode shim.Chaincode) *Ledger {
	if chaincode == nil {
		chaincode = l.chaincode
	}
	return &Ledger{chaincode: chaincode, state: maps.Clone(l.state), guards: maps.Clone(l.guards), private: maps.Clone(l.private), commits: l.commits}
}

// Get returns the committed value of a key, nil where there is none.
func (l *Ledger) Get(key string) []byte { return l.state[key].value }

// Keys lists the committed keys with a prefix, in order.
func (l *Ledger) Keys(prefix string) []string {
	var keys []string
	for k, v := range l.state {
		if v.value != nil && strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// Proposal is one call of a transaction.
type Proposal struct {
	Creator   []byte    // Identity
	At        time.Time // as its client claims
	Args      []string  // the transaction's name first
	Transient map[string][]byte
	TxID      string
	Peer      string // the organisation whose peer runs it; it alone has the values of its private collection
}

// Endorsement is what a transaction came to. Nothing of it is on the ledger yet.
type Endorsement struct {
	TxID    string
	Status  int32
	Message string // of an error
	Payload []byte
	// Writes are the keys it writes, nil for one it deletes.
	Writes map[string][]byte
	Event  []byte // its payload

	reads  map[string]uint64
	guards map[string][]byte
	kept   map[[2]string][]byte
}

// OK tells whether peers would sign it.
func (e *Endorsement) OK() bool { return e.Status == shim.OK }

// Endorse runs a transaction over the committed state and changes nothing.
func (l *Ledger) Endorse(p Proposal) *Endorsement {
	e := &Endorsement{TxID: p.TxID, Writes: map[string][]byte{}, reads: map[string]uint64{}, guards: map[string][]byte{}, kept: map[[2]string][]byte{}}
	s := &stub{ledger: l, proposal: p, endorsement: e}
	response := l.chaincode.Invoke(s)
	e.Status, e.Message, e.Payload = response.GetStatus(), response.GetMessage(), response.GetPayload()
	if e.OK() && s.batch {
		e.Status, e.Message = shim.ERROR, "the write batch was left open"
	}
	if e.OK() && s.fault != nil {
		e.Status, e.Message = shim.ERROR, s.fault.Error()
	}
	return e
}

// ConflictError says that a transaction read what was written since.
type ConflictError struct{ Key string }

// Error implements error.
func (e *ConflictError) Error() string { return fmt.Sprintf("stale read of %q", e.Key) }

// UnendorsedError says that a key's own endorsement policy is not met.
type UnendorsedError struct{ Key string }

// Error implements error.
func (e *UnendorsedError) Error() string {
	return fmt.Sprintf("the endorsers do not satisfy the policy of %q", e.Key)
}

// Commit writes what was endorsed, if everything that it read is as it was and
// the peers of the endorsers may write every key that has a policy of its own.
// The chaincode's own endorsement policy is the caller's to ask for.
func (l *Ledger) Commit(e *Endorsement, endorsers []string) error {
	if !e.OK() {
		return fmt.Errorf("not endorsed: %s", e.Message)
	}
	for _, key := range slices.Sorted(maps.Keys(e.reads)) {
		if l.state[key].commit != e.reads[key] && (l.Unchecked == nil || !l.Unchecked(key)) {
			return &ConflictError{key}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(e.Writes)) {
		if err := l.mayWrite(key, endorsers); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(e.guards)) {
		if err := l.mayWrite(key, endorsers); err != nil {
			return err
		}
	}
	l.commits++
	if l.Committed != nil {
		l.Committed(e)
	}
	for key, value := range e.Writes {
		if l.state[key] = (version{value, l.commits}); value == nil {
			delete(l.guards, key)
		}
	}
	for key, guard := range e.guards {
		if v := l.state[key]; v.value != nil { // a peer drops the policy of a key that is not there
			l.guards[key], l.state[key] = guard, version{v.value, l.commits}
		}
	}
	for key, value := range e.kept {
		if l.private[key] = value; value == nil {
			delete(l.private, key)
		}
	}
	return nil
}

func (l *Ledger) mayWrite(key string, endorsers []string) error {
	guard := l.guards[key]
	if guard == nil {
		return nil
	}
	var envelope common.SignaturePolicyEnvelope
	if err := proto.Unmarshal(guard, &envelope); err != nil {
		return fmt.Errorf("the endorsement policy of %q: %w", key, err)
	}
	members := make([]string, len(envelope.GetIdentities()))
	for i, p := range envelope.GetIdentities() {
		var role msp.MSPRole
		if err := proto.Unmarshal(p.GetPrincipal(), &role); err != nil {
			return fmt.Errorf("the endorsement policy of %q: %w", key, err)
		}
		members[i] = role.GetMspIdentifier()
	}
	if !satisfied(envelope.GetRule(), members, slices.Clone(endorsers)) {
		return &UnendorsedError{key}
	}
	return nil
}

// satisfied takes each signature once, as cauthdsl does: one that a branch used
// counts in no other.
func satisfied(rule *common.SignaturePolicy, members, left []string) bool {
	ok, _ := take(rule, members, left)
	return ok
}

func take(rule *common.SignaturePolicy, members, left []string) (bool, []string) {
	of := rule.GetNOutOf()
	if of == nil {
		at := slices.Index(left, members[rule.GetSignedBy()])
		if at < 0 {
			return false, left
		}
		return true, slices.Delete(slices.Clone(left), at, at+1)
	}
	met := int32(0)
	for _, r := range of.GetRules() {
		if ok, rest := take(r, members, left); ok {
			met, left = met+1, rest
		}
	}
	return met >= of.GetN(), left
}

func sumOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

var _ shim.ChaincodeStubInterface = (*stub)(nil)

// queryMetadata is what a page of a scan says of itself.
func queryMetadata(rows int, bookmark string) *peer.QueryResponseMetadata {
	return &peer.QueryResponseMetadata{FetchedRecordsCount: int32(rows), Bookmark: bookmark}
}
