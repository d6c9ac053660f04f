package contract

import (
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// GenesisContract begins a channel with the state of another one, whose quorum is lost for good. The channel's first
// block names that one, its last block and its state, and nothing else decides what is imported: each founder's peer
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

// Import writes the next page of the state of the channel before. Any founder's admin calls it until Genesis.Done.
// The last page makes the founders members, by whatever majority decided before; who is none has left.
func (GenesisContract) Import(tx *Tx) (string, error) {
	g, founders, err := beginImport(tx)
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
			return "", provenance.Errorf(provenance.Conflict, "the state of channel %s here is %s, and the first block names %s", g.After.Channel, g.Hash, g.After.State)
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

// beginImport reads how far the import is, and makes sure at its beginning that the peer has the very chain.
func beginImport(tx *Tx) (g state.Genesis, founders []string, err error) {
	found, err := state.Read(tx, state.GenesisKey(), &g)
	if err != nil || g.Done {
		return g, nil, err
	}
	p, founders, err := predecessor(tx)
	if err != nil {
		return g, nil, err
	}
	if p == nil {
		return g, nil, provenance.Errorf(provenance.Conflict, "the channel's first block names no channel before it")
	}
	if !slices.Contains(founders, tx.caller.MSP) {
		return g, nil, provenance.Errorf(provenance.Forbidden, "%s is no founder of this channel", tx.caller.MSP)
	}
	if !found {
		g.After = *p
		if err := sameGenesis(tx, *p); err != nil {
			return g, nil, err
		}
	}
	if g.After != *p {
		return g, nil, provenance.Errorf(provenance.Internal, "the import is of another channel than the first block names")
	}
	return g, founders, standsAt(tx, *p)
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

// predecessor reads from the channel's first block, as the peer has it, which channel this one goes on from (nil: none)
// and who founded it.
func predecessor(tx *Tx) (*provenance.Predecessor, []string, error) {
	raw, err := ask(tx, "qscc", "", "GetBlockByNumber", tx.GetStub().GetChannelID(), "0")
	if err != nil {
		return nil, nil, err
	}
	unreadable := provenance.Errorf(provenance.Internal, "the channel's first block does not decode")
	var block common.Block
	var envelope common.Envelope
	var payload common.Payload
	var header common.ChannelHeader
	var config common.ConfigEnvelope
	if proto.Unmarshal(raw, &block) != nil || len(block.GetData().GetData()) != 1 || proto.Unmarshal(block.GetData().GetData()[0], &envelope) != nil ||
		proto.Unmarshal(envelope.GetPayload(), &payload) != nil || proto.Unmarshal(payload.GetHeader().GetChannelHeader(), &header) != nil ||
		proto.Unmarshal(payload.GetData(), &config) != nil {
		return nil, nil, unreadable
	}
	var founders []string
	for id := range config.GetConfig().GetChannelGroup().GetGroups()["Application"].GetGroups() {
		founders = append(founders, id)
	}
	slices.Sort(founders)
	if len(header.GetExtension()) == 0 {
		return nil, founders, nil
	}
	p, err := provenance.ParsePredecessor(header.GetExtension())
	return &p, founders, err
}

// sameGenesis compares the first block of the channel before, as this peer has it, with what was named.
func sameGenesis(tx *Tx, p provenance.Predecessor) error {
	raw, err := ask(tx, "qscc", "", "GetBlockByNumber", p.Channel, "0")
	if err != nil {
		return err
	}
	var block common.Block
	if proto.Unmarshal(raw, &block) != nil {
		return provenance.Errorf(provenance.Internal, "the first block of channel %s does not decode", p.Channel)
	}
	der, err := asn1.Marshal(struct {
		Number       *big.Int
		PreviousHash []byte
		DataHash     []byte
	}{new(big.Int).SetUint64(block.GetHeader().GetNumber()), block.GetHeader().GetPreviousHash(), block.GetHeader().GetDataHash()})
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "hash of a block")
	}
	if sum := sha256.Sum256(der); hex.EncodeToString(sum[:]) != p.Genesis {
		return provenance.Errorf(provenance.Conflict, "channel %s begins with block hash %x here, and the first block names %s", p.Channel, sum, p.Genesis)
	}
	return nil
}

// standsAt makes sure that this peer's copy of the channel before ends where was named: not before, and not after, as
// where the lost came back and it went on.
func standsAt(tx *Tx, p provenance.Predecessor) error {
	raw, err := ask(tx, "qscc", "", "GetChainInfo", p.Channel)
	if err != nil {
		return err
	}
	var info common.BlockchainInfo
	if proto.Unmarshal(raw, &info) != nil {
		return provenance.Errorf(provenance.Internal, "the height of channel %s does not decode", p.Channel)
	}
	if info.GetHeight() != p.Height || hex.EncodeToString(info.GetCurrentBlockHash()) != p.Header {
		return provenance.Errorf(provenance.Conflict, "channel %s has %d blocks here, the last %x; the first block names %s, the last %s",
			p.Channel, info.GetHeight(), info.GetCurrentBlockHash(), strconv.FormatUint(p.Height, 10), p.Header)
	}
	return nil
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
	r := tx.GetStub().InvokeChaincode(chaincode, list, channel)
	if r.GetStatus() != 200 {
		return nil, provenance.Errorf(provenance.Conflict, "this peer does not answer %s of channel %s: %s", args[0], channel, clip(r.GetMessage()))
	}
	return r.GetPayload(), nil
}
