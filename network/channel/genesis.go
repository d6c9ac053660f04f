package channel

import (
	"cmp"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/protobuf/proto"
)

// Where things are in a channel's configuration.
const (
	applicationGroup = "Application"
	ordererGroup     = "Orderer"

	anchorPeersKey   = "AnchorPeers"
	batchSizeKey     = "BatchSize"
	batchTimeoutKey  = "BatchTimeout"
	capabilitiesKey  = "Capabilities"
	consensusTypeKey = "ConsensusType"
	endpointsKey     = "Endpoints"
	hashingKey       = "HashingAlgorithm"
	mspKey           = "MSP"
	orderersKey      = "Orderers"
	restrictionsKey  = "ChannelRestrictions"
	structureKey     = "BlockDataHashingStructure"
)

// maxOrgs bounds the organisations of one channel. Consensus sends each vote to all others.
const maxOrgs = 64

// Found makes a channel's first block of the organisations' descriptors. It is the same, byte for byte, whoever
// makes it and in whatever order the descriptors are given: organisations are sorted by MSP id, there is
// no time in it, and its nonce is a hash of its configuration.
func Found(p Parameters, orgs []Descriptor) (*common.Block, error) {
	p = p.withDefaults()
	if err := p.check(); err != nil {
		return nil, err
	}
	orgs = sorted(orgs)
	if p.After != nil {
		var founders []string
		for _, d := range orgs {
			founders = append(founders, d.MSPID)
		}
		p.Channel = p.After.Successor(founders)
	}
	if len(orgs) == 0 || len(orgs) > maxOrgs {
		return nil, fmt.Errorf("%d organisations: want 1 to %d", len(orgs), maxOrgs)
	}
	if err := together(orgs); err != nil {
		return nil, err
	}
	root, err := channelGroup(p, orgs)
	if err != nil {
		return nil, err
	}
	config := marshal(&common.ConfigEnvelope{Config: &common.Config{ChannelGroup: root}})
	var after []byte
	if p.After != nil {
		after = p.After.Bytes()
	}
	nonce := sha256.Sum256(slices.Concat(config, after))
	txID := sha256.Sum256(nonce[:]) // no creator: nobody signs a first block
	payload := marshal(&common.Payload{
		Header: &common.Header{
			ChannelHeader:   marshal(&common.ChannelHeader{Type: int32(common.HeaderType_CONFIG), ChannelId: p.Channel, TxId: hex.EncodeToString(txID[:]), Extension: after}),
			SignatureHeader: marshal(&common.SignatureHeader{Nonce: nonce[:]}),
		},
		Data: config,
	})
	return firstBlock(marshal(&common.Envelope{Payload: payload})), nil
}

func sorted(orgs []Descriptor) []Descriptor {
	return slices.SortedFunc(slices.Values(orgs), func(a, b Descriptor) int { return cmp.Compare(a.MSPID, b.MSPID) })
}

func firstBlock(envelope []byte) *common.Block {
	last := &common.LastConfig{}
	metadata := make([][]byte, len(common.BlockMetadataIndex_name))
	for i := range metadata {
		metadata[i] = []byte{}
	}
	metadata[common.BlockMetadataIndex_LAST_CONFIG] = marshal(&common.Metadata{Value: marshal(last)}) //nolint:staticcheck // SA1019: Fabric still reads it
	metadata[common.BlockMetadataIndex_SIGNATURES] = marshal(&common.Metadata{Value: marshal(&common.OrdererBlockMetadata{LastConfig: last})})
	data := sha256.Sum256(envelope) // the data's hash is over all envelopes together: here one
	return &common.Block{
		Header:   &common.BlockHeader{DataHash: data[:]},
		Data:     &common.BlockData{Data: [][]byte{envelope}},
		Metadata: &common.BlockMetadata{Metadata: metadata},
	}
}

// GenesisHash is the hash of the block's header, which the next block names and every proof ends at; in groups.
func GenesisHash(block *common.Block) string {
	return InGroups(HeaderHash(block))
}

// HeaderHash is GenesisHash of any block, in plain hexadecimal.
func HeaderHash(block *common.Block) string {
	sum := headerHash(block.GetHeader())
	return hex.EncodeToString(sum[:])
}

func headerHash(h *common.BlockHeader) [sha256.Size]byte {
	raw, _ := asn1.Marshal(struct { // which always encodes
		Number       *big.Int
		PreviousHash []byte
		DataHash     []byte
	}{new(big.Int).SetUint64(h.GetNumber()), h.GetPreviousHash(), h.GetDataHash()})
	return sha256.Sum256(raw)
}

func newGroup() *common.ConfigGroup {
	return &common.ConfigGroup{
		Groups: map[string]*common.ConfigGroup{}, Values: map[string]*common.ConfigValue{},
		Policies: map[string]*common.ConfigPolicy{}, ModPolicy: admins,
	}
}

func value(m proto.Message) *common.ConfigValue {
	return &common.ConfigValue{Value: marshal(m), ModPolicy: admins}
}

func capability(name string) *common.ConfigValue {
	return value(&common.Capabilities{Capabilities: map[string]*common.Capability{name: {}}})
}

func channelGroup(p Parameters, orgs []Descriptor) (*common.ConfigGroup, error) {
	root := newGroup()
	root.Values[hashingKey] = value(&common.HashingAlgorithm{Name: "SHA256"})
	root.Values[structureKey] = value(&common.BlockDataHashingStructure{Width: math.MaxUint32})
	root.Values[capabilitiesKey] = capability("V3_0") // what allows BFT; each organisation then names its own orderers
	ordering, application := newGroup(), newGroup()
	root.Groups[ordererGroup], root.Groups[applicationGroup] = ordering, application

	var consenters []*common.Consenter
	for _, d := range orgs {
		application.Groups[d.MSPID] = applicationOrg(d)
		if d.Orderer == nil {
			continue
		}
		ordering.Groups[d.MSPID] = ordererOrg(d)
		consenters = append(consenters, consenterOf(d, uint32(len(consenters)+1))) //nolint:gosec // G115: at most maxOrgs
	}
	if len(consenters) == 0 {
		return nil, errors.New("no organisation runs an orderer")
	}
	ordering.Values[batchSizeKey] = value(p.batchSize())
	ordering.Values[batchTimeoutKey] = value(&orderer.BatchTimeout{Timeout: p.BatchTimeout.String()})
	ordering.Values[restrictionsKey] = value(&orderer.ChannelRestrictions{})
	ordering.Values[capabilitiesKey] = capability("V2_0")
	ordering.Values[consensusTypeKey] = value(&orderer.ConsensusType{Type: "BFT", Metadata: marshal(p.smartBFT())})
	ordering.Values[orderersKey] = value(&common.Orderers{ConsenterMapping: consenters})
	application.Values[capabilitiesKey] = capability("V2_5")
	setPolicies(root)
	ordering.Policies[blockValidator] = quorumOf(consenters)
	return root, nil
}

// setPolicies writes what each group of the channel asks for, from the organisations that are in it. Whoever
// adds or removes one calls it again.
func setPolicies(root *common.ConfigGroup) {
	ordering, application := root.Groups[ordererGroup], root.Groups[applicationGroup]
	all, orderers := names(application.Groups), names(ordering.Groups)
	root.Policies[readers] = anyOf(union(all, orderers), msp.MSPRole_MEMBER)
	root.Policies[writers] = named(1, slices.Concat(holders(all, msp.MSPRole_ADMIN, msp.MSPRole_CLIENT), holders(orderers, msp.MSPRole_ORDERER)))
	root.Policies[admins] = majorityOf(admins)

	ordering.Policies[readers] = anyOf(orderers, msp.MSPRole_MEMBER)
	ordering.Policies[writers] = anyOf(orderers, msp.MSPRole_ORDERER)
	ordering.Policies[admins] = majorityOf(admins)

	// No single organisation can change the chaincode or write a record.
	application.Policies[lifecycle] = majorityOf(endorsement)
	application.Policies[endorsement] = named(Majority(len(all)), holders(all, msp.MSPRole_PEER))
	application.Policies[readers] = anyOf(all, msp.MSPRole_MEMBER)
	application.Policies[writers] = anyOf(all, msp.MSPRole_ADMIN, msp.MSPRole_CLIENT)
	application.Policies[admins] = majorityOf(admins)
}

func names[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func union(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}

func applicationOrg(d Descriptor) *common.ConfigGroup {
	g, only := newGroup(), []string{d.MSPID}
	// The organisation changes what is in its group, and not that it is there: with each value more or less the group's
	// version moves, and every update that lets somebody in or out is made for these versions.
	g.ModPolicy = applicationAdmins
	g.Values[mspKey] = value(mspConfig(d))
	// In the first block, so no anchor update is ever needed.
	g.Values[anchorPeersKey] = value(anchorPeers(d))
	g.Policies[readers] = anyOf(only, msp.MSPRole_MEMBER)
	g.Policies[writers] = anyOf(only, msp.MSPRole_ADMIN, msp.MSPRole_CLIENT) // people write; peers only endorse
	g.Policies[admins] = anyOf(only, msp.MSPRole_ADMIN)
	g.Policies[endorsement] = anyOf(only, msp.MSPRole_PEER)
	return g
}

func ordererOrg(d Descriptor) *common.ConfigGroup {
	g, only := newGroup(), []string{d.MSPID}
	g.Values[mspKey] = value(mspConfig(d))
	// One per consenter: a peer's gateway takes the number of endpoints for the size of the cluster, and waits for a
	// quorum of them. So they change by a majority, not by the organisation's word, and so does what is in this group:
	// else the organisation would take them out and put others in.
	g.ModPolicy = orderingAdmins
	g.Values[endpointsKey] = endpoints(d)
	g.Policies[readers] = anyOf(only, msp.MSPRole_MEMBER)
	g.Policies[writers] = anyOf(only, msp.MSPRole_ORDERER) // consenters check each other's votes against it
	g.Policies[admins] = anyOf(only, msp.MSPRole_ADMIN)
	return g
}

func endpoints(d Descriptor) *common.ConfigValue {
	v := value(&common.OrdererAddresses{Addresses: []string{d.Orderer.Endpoint().String()}})
	v.ModPolicy = orderingAdmins
	return v
}

func consenterOf(d Descriptor, id uint32) *common.Consenter {
	return &common.Consenter{
		Id: id, Host: d.Orderer.Host, Port: uint32(d.Orderer.Port), MspId: d.MSPID, //nolint:gosec // G115: a port
		Identity: []byte(d.Orderer.Identity), ClientTlsCert: []byte(d.Orderer.ClientTLS), ServerTlsCert: []byte(d.Orderer.ServerTLS),
	}
}

// mspConfig is how Fabric knows the organisation. Roles are read from a certificate's organisational unit,
// whichever of the organisation's authorities issued it: none is named, so that one can follow another.
func mspConfig(d Descriptor) *msp.MSPConfig {
	unit := func(name string) *msp.FabricOUIdentifier {
		return &msp.FabricOUIdentifier{OrganizationalUnitIdentifier: name}
	}
	return &msp.MSPConfig{Config: marshal(&msp.FabricMSPConfig{
		Name:      d.MSPID,
		RootCerts: bytesOf(d.Roots), IntermediateCerts: bytesOf(d.Intermediates), RevocationList: bytesOf(d.RevocationLists),
		TlsRootCerts: bytesOf(d.TLSRoots), TlsIntermediateCerts: bytesOf(d.TLSIntermediates),
		CryptoConfig: &msp.FabricCryptoConfig{SignatureHashFamily: "SHA2", IdentityIdentifierHashFunction: "SHA256"},
		FabricNodeOus: &msp.FabricNodeOUs{
			Enable:             true,
			ClientOuIdentifier: unit("client"), PeerOuIdentifier: unit("peer"), AdminOuIdentifier: unit("admin"), OrdererOuIdentifier: unit("orderer"),
		},
	})}
}

func bytesOf(list []string) [][]byte {
	var out [][]byte
	for _, s := range list {
		out = append(out, []byte(s))
	}
	return out
}
