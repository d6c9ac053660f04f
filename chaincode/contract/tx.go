package contract

import (
	"slices"
	"strings"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// maxScan bounds every prefix scan: Fabric v3.1.1 crashes a peer whose
// transaction times out inside a range query (hyperledger/fabric#5472).
const maxScan = 1000

// Tx is one transaction: who calls, when, and the state as committed before
// it. It implements state.Scanner. As on any Fabric peer, a read never sees
// this transaction's own writes.
type Tx struct {
	contractapi.TransactionContext
	caller policy.Person
	now    time.Time
	// policies outlives the transaction. It holds parsed texts by their bytes
	// and nothing of the ledger, so what it remembers cannot change an outcome.
	policies *policy.Cache
	// turns outlives the transaction as well: what a transaction waits for cannot
	// change an outcome either.
	turns *turns
	// keys outlives the transaction, as policies does and for the same reason.
	keys *evidence.KeyCache
	// queued: every envelope of it is verified in turn.
	queued bool
	// judged is what the pieces of a batch are judged by, nil outside of one.
	judged *judged
	// directory finds the records of pushes.
	directory *state.Directory
	// written are the keys that the transaction wrote.
	written map[string]bool
}

// act is the caller and the transaction's timestamp. The timestamp is the
// client's claim, bounded by the peers' time window.
func (tx *Tx) act() state.Act { return state.Act{By: tx.caller, At: tx.now} }

// ParsePolicy keeps policies parsed for state.LoadPolicy.
func (tx *Tx) ParsePolicy(text []byte) (*policy.Policy, error) { return tx.policies.Parse(text) }

// Get implements state.Reader, in one round trip to the peer, and four at most
// where records of pushes are among the keys.
func (tx *Tx) Get(keys ...string) ([][]byte, error) { return tx.records().Get(keys...) }

// records finds what pushes recorded.
func (tx *Tx) records() *state.Directory {
	if tx.directory == nil {
		var peer state.Reader = committed{tx.GetStub()}
		// What an overlay answers changes with what is written, and it asks for no key twice itself.
		if _, changes := tx.GetStub().(*overlay); !changes {
			peer = &remembered{peer: peer, seen: map[string][]byte{}}
		}
		tx.directory = state.NewDirectory(peer)
	}
	return tx.directory
}

// committed reads keys as they stand on the peer.
type committed struct{ stub shim.ChaincodeStubInterface }

// Get implements state.Reader.
func (c committed) Get(keys ...string) ([][]byte, error) {
	values, err := c.stub.GetMultipleStates(keys...)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "read %d keys", len(keys))
	}
	for i, v := range values {
		if len(v) == 0 {
			values[i] = nil
		}
	}
	return values, nil
}

// Scan implements state.Scanner. Only transactions that never write call it.
func (tx *Tx) Scan(limit int, objectType string, attributes ...string) ([]state.Entry, error) {
	var entries []state.Entry
	limit = min(limit, maxScan)
	it, _, err := tx.GetStub().GetStateByPartialCompositeKeyWithPagination(objectType, attributes, int32(limit), "")
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "scan %s", objectType)
	}
	defer closeQuietly(it)
	for it.HasNext() && len(entries) < limit {
		kv, err := it.Next()
		if err != nil {
			return nil, provenance.Wrap(provenance.Internal, err, "scan %s", objectType)
		}
		entries = append(entries, state.Entry{Key: kv.GetKey(), Value: kv.GetValue()})
	}
	return entries, nil
}

// maxAll bounds a list: its answer is one message.
const maxAll = 50_000

// scanAll reads all keys with a prefix, in bounded steps. A list that ends
// early without a word would hide what stands behind: beyond maxAll it is an
// error, and a gateway's API has the same list in pages.
func (tx *Tx) scanAll(objectType string, attributes ...string) ([]state.Entry, error) {
	var all []state.Entry
	for bookmark := ""; ; {
		it, meta, err := tx.GetStub().GetStateByPartialCompositeKeyWithPagination(objectType, attributes, maxScan, bookmark)
		if err != nil {
			return nil, provenance.Wrap(provenance.Internal, err, "scan %s", objectType)
		}
		for it.HasNext() {
			kv, err := it.Next()
			if err != nil {
				closeQuietly(it)
				return nil, provenance.Wrap(provenance.Internal, err, "scan %s", objectType)
			}
			all = append(all, state.Entry{Key: kv.GetKey(), Value: kv.GetValue()})
		}
		closeQuietly(it)
		if bookmark = meta.GetBookmark(); bookmark == "" {
			return all, nil
		}
		if len(all) >= maxAll {
			return nil, provenance.Errorf(provenance.Full, "more than %d records of type %s: ask a gateway, which answers in pages", maxAll, objectType)
		}
	}
}

// closeQuietly: the peer ends the iterator with the transaction in any case.
func closeQuietly(it shim.StateQueryIteratorInterface) { _ = it.Close() }

// put writes a record under its key, and nothing else.
func (tx *Tx) put(key string, record any) error {
	b, err := state.Encode(record)
	if err != nil {
		return err
	}
	return tx.putBytes(key, b)
}

func (tx *Tx) putBytes(key string, b []byte) error {
	if err := tx.GetStub().PutState(key, b); err != nil {
		return provenance.Wrap(provenance.Internal, err, "write %s", strings.ReplaceAll(key, "\x00", "/"))
	}
	if tx.written == nil {
		tx.written = map[string]bool{}
	}
	tx.written[key] = true
	return nil
}

func (tx *Tx) del(key string) error {
	if err := tx.GetStub().DelState(key); err != nil {
		return provenance.Wrap(provenance.Internal, err, "remove %s", strings.ReplaceAll(key, "\x00", "/"))
	}
	return nil
}

// materialize ends a transaction that wrote: the places and tags which it read in pages
// get keys of their own, so that later acts about these images read what no push into
// their repository changes. What the transaction wrote itself stands; one that wrote
// nothing stays without a write.
func materialize(tx *Tx) error {
	if len(tx.written) == 0 {
		return nil
	}
	for _, record := range tx.records().Unpacked() {
		if tx.written[record.Key] {
			continue
		}
		if err := tx.putBytes(record.Key, record.Value); err != nil {
			return err
		}
	}
	return nil
}

// transient returns the value of a transient field, which never reaches the chain.
func (tx *Tx) transient(field string) ([]byte, error) {
	fields, err := tx.GetStub().GetTransient()
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "transient map")
	}
	b, ok := fields[field]
	if !ok || len(b) == 0 {
		return nil, provenance.Errorf(provenance.Invalid, "transient field %q is missing", field)
	}
	return b, nil // of this transaction alone: nobody changes it
}

// asked tells whether a transient field says "true"; where it is absent it does not.
func (tx *Tx) asked(field string) (bool, error) {
	fields, err := tx.GetStub().GetTransient()
	if err != nil {
		return false, provenance.Wrap(provenance.Invalid, err, "transient map")
	}
	switch b, ok := fields[field]; {
	case !ok:
		return false, nil
	case string(b) != "true":
		return false, provenance.Errorf(provenance.Invalid, "transient field %q: want true, or none", field)
	}
	return true, nil
}

// identify reads the caller from the certificate that signed the proposal.
// The enrolment id is the certificate's common name, so that a renewed
// certificate is the same person.
func (tx *Tx) identify() error {
	id := tx.GetClientIdentity()
	msp, err := id.GetMSPID()
	if err != nil {
		return provenance.Wrap(provenance.Forbidden, err, "caller's organisation")
	}
	cert, err := id.GetX509Certificate()
	if err != nil || cert == nil {
		return provenance.Errorf(provenance.Forbidden, "caller presents no X.509 certificate")
	}
	name := cert.Subject.CommonName
	if err := provenance.CheckText("common name", name, maxName); err != nil || name == "" {
		return provenance.Errorf(provenance.Forbidden, "caller's certificate has no usable common name")
	}
	stamp, err := tx.GetStub().GetTxTimestamp()
	if err != nil || !stamp.IsValid() {
		return provenance.Errorf(provenance.Invalid, "the transaction has no valid timestamp")
	}
	tx.caller, tx.now = policy.Person{MSP: msp, Name: name}, stamp.AsTime().UTC()
	return nil
}

// hasRole tells whether the caller holds one of the roles. Admin comes from
// the certificate's Node OU as well: somebody has to grant first.
func (tx *Tx) hasRole(roles []state.Role) (bool, error) {
	if tx.certifiedAdmin(roles) {
		return true, nil
	}
	granted, err := tx.granted(roles)
	return len(granted) > 0, err
}

// certifiedAdmin tells whether admin is among the roles and the caller's certificate says admin.
func (tx *Tx) certifiedAdmin(roles []state.Role) bool {
	if !slices.Contains(roles, state.RoleAdmin) {
		return false
	}
	cert, err := tx.GetClientIdentity().GetX509Certificate()
	return err == nil && slices.Contains(cert.Subject.OrganizationalUnit, string(state.RoleAdmin))
}

// grantKeys returns the keys of the caller's grants, one for each role.
func (tx *Tx) grantKeys(roles []state.Role) []string {
	keys := make([]string, len(roles))
	for i, r := range roles {
		keys[i] = state.GrantKey(tx.caller.MSP, tx.caller.Name, string(r))
	}
	return keys
}

// granted returns those of the roles that the caller was granted and that were
// neither revoked nor granted by somebody who is taken back.
func (tx *Tx) granted(roles []state.Role) ([]state.Role, error) {
	values, err := tx.Get(tx.grantKeys(roles)...)
	if err != nil {
		return nil, err
	}
	var grants []state.Grant
	var givers []policy.Person
	for _, v := range values {
		if v == nil {
			continue
		}
		var g state.Grant
		if err := state.Decode(v, &g); err != nil {
			return nil, err
		}
		if !g.Revoked {
			grants, givers = append(grants, g), append(givers, g.By)
		}
	}
	if len(grants) == 0 {
		return nil, nil
	}
	taken, err := state.LoadTaken(tx, givers)
	if err != nil {
		return nil, err
	}
	var held []state.Role
	for i, g := range grants {
		if !taken[i].Reaches(g.At) {
			held = append(held, g.Role)
		}
	}
	return held, nil
}
