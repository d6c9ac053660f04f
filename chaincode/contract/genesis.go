package contract

import (
	"encoding/base64"
	"encoding/json"
	"slices"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// GenesisContract begins a channel with the state of another one, whose quorum is lost for good. The channel's name holds
// a hash of that one's end and of the founders, and nothing else decides what is imported: each founder's peer
// reads its own copy of the old ledger, and pages stand where a majority of them read the same. Until the last page is
// there the channel has no members, so that nobody writes anything else.
type GenesisContract struct{ contractapi.Contract }

const (
	exportRows  = 250       // rows that one query of a page reads
	exportBytes = 512 << 10 // of values, after which a page ends
)

// Export returns a page of the state: keys of one of state.Types from a bookmark on, which is in base64, "" at first.
func (GenesisContract) Export(tx *Tx, objectType, bookmark string) (string, error) {
	from, err := base64.StdEncoding.Strict().DecodeString(bookmark)
	if err != nil || len(from) > 2<<10 || !slices.Contains(state.Types(), objectType) {
		return "", provenance.Errorf(provenance.Invalid, "export: want a type of keys, and a bookmark of a page before")
	}
	it, meta, err := tx.GetStub().GetStateByPartialCompositeKeyWithPagination(objectType, nil, exportRows, string(from))
	if err != nil {
		return "", provenance.Wrap(provenance.Internal, err, "export %s", objectType)
	}
	defer closeQuietly(it)
	page := state.StatePage{Entries: []state.StateEntry{}, Next: base64.StdEncoding.EncodeToString([]byte(meta.GetBookmark()))}
	for size := 0; it.HasNext(); {
		kv, err := it.Next()
		if err != nil {
			return "", provenance.Wrap(provenance.Internal, err, "export %s", objectType)
		}
		if size > exportBytes {
			page.Next = base64.StdEncoding.EncodeToString([]byte(kv.GetKey()))
			break
		}
		size += len(kv.GetValue())
		e := state.StateEntry{Key: kv.GetKey(), Value: kv.GetValue()}
		if mayBeGuarded(objectType) {
			policy, err := guarded(tx, e.Key)
			if err != nil {
				return "", err
			}
			e.Guarded = policy != nil
		}
		page.Entries = append(page.Entries, e)
	}
	return answer(page, nil)
}

// mayBeGuarded tells of which keys the endorsement policy is asked for: a trip to the peer each. Those of gates are of
// the members of before, and no gate of before is written again.
func mayBeGuarded(objectType string) bool {
	switch objectType {
	case state.TypeMembers, state.TypePolicies, state.TypePolicy, state.TypeProposal, state.TypeBallot, state.TypeRegistry, state.TypeTrust, state.TypeTrustText:
		return true
	}
	return false
}

// Import writes the next page of the state of the channel before, which is said as Predecessor.Bytes, with the founders
// as a JSON array. Any founder's admin calls it until Genesis.Done.
// The last page makes the founders members, by whatever majority decided before; who is none has left.
func (GenesisContract) Import(tx *Tx, predecessor, msps string) (string, error) {
	g, founders, err := beginImport(tx, predecessor, msps)
	if err != nil || g.Done {
		return answer(g, err)
	}
	var before state.Members
	page, err := exported(tx, g.After, state.TypeMembers, "")
	if err != nil {
		return "", err
	}
	if len(page.Entries) != 1 || state.Decode(page.Entries[0].Value, &before) != nil {
		return "", provenance.Errorf(provenance.Conflict, "channel %s has no members: there is nothing to go on from", g.After.Channel)
	}
	after, left, err := survivors(before, founders)
	if err != nil {
		return "", err
	}
	tx.GetStub().StartWriteBatch()
	for size := 0; size < exportBytes && g.Type < len(state.Types()); {
		objectType := state.Types()[g.Type]
		if page, err = exported(tx, g.After, objectType, g.Next); err != nil {
			return "", err
		}
		if g.Hash, err = state.StateHash(g.Hash, page.Entries); err != nil {
			return "", err
		}
		g.Keys += len(page.Entries)
		for _, e := range page.Entries {
			size += len(e.Value)
			if err := importEntry(tx, objectType, e, after); err != nil {
				return "", err
			}
		}
		if g.Next = page.Next; g.Next == "" {
			g.Type++
		}
	}
	if g.Type == len(state.Types()) {
		if g.Hash != g.After.State {
			return "", provenance.Errorf(provenance.Conflict, "the state of channel %s here is %s, and was to be %s", g.After.Channel, g.Hash, g.After.State)
		}
		g.Done, g.Left, g.Act = true, left, tx.act()
		if err := tx.put(state.MembersKey(), after); err != nil {
			return "", err
		}
		if err := guardGoverned(tx, state.MembersKey(), after); err != nil {
			return "", err
		}
	}
	if err := tx.put(state.GenesisKey(), g); err != nil {
		return "", err
	}
	if err := tx.GetStub().FinishWriteBatch(); err != nil {
		return "", provenance.Wrap(provenance.Internal, err, "import")
	}
	return answer(g, nil)
}

// Get returns how far the import is; it is NotFound on a channel that goes on from none.
func (GenesisContract) Get(tx *Tx) (string, error) {
	var g state.Genesis
	found, err := state.Read(tx, state.GenesisKey(), &g)
	if err == nil && !found {
		err = provenance.Errorf(provenance.NotFound, "nothing was imported from another channel")
	}
	return answer(g, err)
}

// beginImport reads how far the import is, and makes sure that it is the one that the channel's name holds the hash of.
func beginImport(tx *Tx, after, founders string) (g state.Genesis, msps []string, err error) {
	p, err := provenance.ParsePredecessor([]byte(after))
	if err != nil {
		return g, nil, err
	}
	if err := strictjson.Unmarshal([]byte(founders), &msps, strictjson.Limits{}); err != nil || len(msps) == 0 || len(msps) > maxMembers {
		return g, nil, provenance.Errorf(provenance.Invalid, "founders: want a JSON array of 1 to %d MSP ids", maxMembers)
	}
	if name := p.Successor(msps); name != tx.GetStub().GetChannelID() {
		return g, nil, provenance.Errorf(provenance.Conflict, "that is channel %s, and not this one", name)
	}
	if !slices.Contains(msps, tx.caller.MSP) {
		return g, nil, provenance.Errorf(provenance.Forbidden, "%s is no founder of this channel", tx.caller.MSP)
	}
	found, err := state.Read(tx, state.GenesisKey(), &g)
	if !found {
		g.After = p
	}
	return g, msps, err
}

// importEntry writes a key as it was. Members come last of all, and those who left do not come; what only votes change is
// guarded by those who are left, since the peers of the others endorse nothing any more. What the channel before
// imported itself is its own.
func importEntry(tx *Tx, objectType string, e state.StateEntry, after state.Members) error {
	switch objectType {
	case state.TypeMembers, state.TypeGenesis:
		return nil
	case state.TypeMember:
		if _, attributes, ok := state.SplitKey(e.Key); !ok || len(attributes) != 1 || !slices.Contains(after.MSPs, attributes[0]) {
			return nil
		}
	}
	if err := tx.GetStub().PutState(e.Key, e.Value); err != nil {
		return provenance.Wrap(provenance.Internal, err, "import %s", readable(e.Key))
	}
	if !e.Guarded {
		return nil
	}
	return guardWith(tx, e.Key, nil, after.MSPs, after.Needed())
}

// survivors are the members of before who found the channel anew. A newcomer's peer has nothing to import from: whoever
// was no member is voted in afterwards.
func survivors(before state.Members, founders []string) (after state.Members, left []string, err error) {
	for _, f := range founders {
		if !slices.Contains(before.MSPs, f) {
			return after, nil, provenance.Errorf(provenance.Conflict, "%s founds this channel and was no member of the one before: who is new is voted in afterwards", f)
		}
	}
	after = state.Members{MSPs: slices.Sorted(slices.Values(founders)), Majority: before.Majority, Version: before.Version + 1}
	for _, m := range before.MSPs {
		if !slices.Contains(founders, m) {
			left = append(left, m)
		}
	}
	return after, left, nil
}

// exported asks the chaincode of the channel before, which this process runs as well.
func exported(tx *Tx, p provenance.Predecessor, objectType, bookmark string) (page state.StatePage, err error) {
	raw, err := ask(tx, p.Chaincode, p.Channel, "genesis:Export", objectType, bookmark)
	if err != nil {
		return page, err
	}
	if err := json.Unmarshal(raw, &page); err != nil {
		return page, provenance.Errorf(provenance.Internal, "a page of channel %s does not decode", p.Channel)
	}
	return page, nil
}

// ask calls a chaincode of this peer, and only reads from it.
func ask(tx *Tx, chaincode, channel string, args ...string) ([]byte, error) {
	list := make([][]byte, len(args))
	for i, a := range args {
		list[i] = []byte(a)
	}
	// On another channel it is a query: what it would write is dropped.
	r := tx.GetStub().InvokeChaincode(chaincode, list, channel)
	if r.GetStatus() != 200 {
		return nil, provenance.Errorf(provenance.Conflict, "this peer does not answer %s of channel %s: %s", args[0], channel, clip(r.GetMessage()))
	}
	return r.GetPayload(), nil
}
