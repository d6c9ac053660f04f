package channel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

// Change makes another configuration of one. It leaves what it is given as it is.
type Change func(*common.Config) (*common.Config, error)

// AddOrg lets an organisation's people and peer take part. Its orderer becomes a consenter by AddOrderer, after
// it has read the chain as a member.
func AddOrg(d Descriptor) Change {
	return edit(func(root, application, _ *common.ConfigGroup) error {
		if application.Groups[d.MSPID] != nil {
			return fmt.Errorf("%s is in the channel", d.MSPID)
		}
		if len(application.Groups) >= maxOrgs {
			return fmt.Errorf("the channel has %d organisations already", maxOrgs)
		}
		if err := newcomer(root, d); err != nil {
			return err
		}
		application.Groups[d.MSPID] = applicationOrg(d)
		return nil
	})
}

// RemoveOrg ends an organisation's part in the channel, with its consenter if it has one.
func RemoveOrg(mspID string) Change {
	return edit(func(_, application, ordering *common.ConfigGroup) error {
		if application.Groups[mspID] == nil {
			return fmt.Errorf("%s is not in the channel", mspID)
		}
		if len(application.Groups) < 2 {
			return errors.New("a channel has at least one organisation")
		}
		delete(application.Groups, mspID)
		if ordering.Groups[mspID] == nil {
			return nil
		}
		return dropConsenter(ordering, mspID)
	})
}

// AddOrderer makes an organisation's orderer a consenter.
func AddOrderer(d Descriptor) Change {
	return edit(func(_, application, ordering *common.ConfigGroup) error {
		switch {
		case d.Orderer == nil:
			return fmt.Errorf("the descriptor of %s names no orderer", d.MSPID)
		case application.Groups[d.MSPID] == nil:
			return fmt.Errorf("%s is not in the channel: add the organisation first", d.MSPID)
		case ordering.Groups[d.MSPID] != nil:
			return fmt.Errorf("%s has a consenter", d.MSPID)
		}
		if err := knownAs(application, d); err != nil {
			return err
		}
		list, err := consentersOf(ordering)
		if err != nil {
			return err
		}
		var last uint32
		for _, c := range list {
			last = max(last, c.GetId())
			if c.GetHost() == d.Orderer.Host && int(c.GetPort()) == d.Orderer.Port {
				return fmt.Errorf("%s is the consenter of %s", d.Orderer.Endpoint(), c.GetMspId())
			}
		}
		ordering.Groups[d.MSPID] = ordererOrg(d)
		return setConsenters(ordering, append(list, consenterOf(d, last+1)))
	})
}

// RemoveOrderer ends an organisation's part in ordering; its people and peer stay.
func RemoveOrderer(mspID string) Change {
	return edit(func(_, _, ordering *common.ConfigGroup) error {
		if ordering.Groups[mspID] == nil {
			return fmt.Errorf("%s has no consenter", mspID)
		}
		return dropConsenter(ordering, mspID)
	})
}

// UpdateOrg takes an organisation's authorities, revocation lists and anchor peer from its new descriptor. Fabric
// lets an organisation do that alone.
func UpdateOrg(d Descriptor) Change {
	return edit(func(root, application, ordering *common.ConfigGroup) error {
		g := application.Groups[d.MSPID]
		if g == nil {
			return fmt.Errorf("%s is not in the channel", d.MSPID)
		}
		if err := newcomer(root, d); err != nil {
			return err
		}
		replace(g, mspKey, mspConfig(d))
		replace(g, anchorPeersKey, anchorPeers(d))
		if o := ordering.Groups[d.MSPID]; o != nil {
			replace(o, mspKey, mspConfig(d))
		}
		return nil
	})
}

// UpdateOrderer takes an orderer's address and certificates from its organisation's new descriptor.
func UpdateOrderer(d Descriptor) Change {
	return edit(func(_, application, ordering *common.ConfigGroup) error {
		g := ordering.Groups[d.MSPID]
		switch {
		case d.Orderer == nil:
			return fmt.Errorf("the descriptor of %s names no orderer", d.MSPID)
		case g == nil:
			return fmt.Errorf("%s has no consenter", d.MSPID)
		}
		if err := knownAs(application, d); err != nil {
			return err
		}
		list, err := consentersOf(ordering)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(list, func(c *common.Consenter) bool { return c.GetMspId() == d.MSPID })
		if at < 0 {
			return fmt.Errorf("%s has no consenter", d.MSPID)
		}
		list[at] = consenterOf(d, list[at].GetId())
		version := g.GetValues()[endpointsKey].GetVersion()
		g.Values[endpointsKey] = endpoints(d)
		g.Values[endpointsKey].Version = version
		return setConsenters(ordering, list)
	})
}

// SetBatch changes how large blocks are. Zero keeps what is.
func SetBatch(messages, most, preferred uint32) Change {
	return edit(func(_, _, ordering *common.ConfigGroup) error {
		b := &orderer.BatchSize{}
		if err := exact(ordering.GetValues()[batchSizeKey].GetValue(), b); err != nil {
			return fmt.Errorf("batch size: %w", err)
		}
		for _, f := range []struct {
			set *uint32
			to  uint32
		}{{&b.MaxMessageCount, messages}, {&b.AbsoluteMaxBytes, most}, {&b.PreferredMaxBytes, preferred}} {
			if f.to != 0 {
				*f.set = f.to
			}
		}
		if err := checkBatch(b); err != nil {
			return err
		}
		replace(ordering, batchSizeKey, b)
		return nil
	})
}

// edit makes a change of a copy, and afterwards writes the policies that follow from who is in the channel: they
// name their principals (decision 28), so that who adds or removes one rewrites them in the same update.
func edit(change func(root, application, ordering *common.ConfigGroup) error) Change {
	return func(config *common.Config) (*common.Config, error) {
		out := proto.CloneOf(config)
		root := out.GetChannelGroup()
		application, ordering := root.GetGroups()[applicationGroup], root.GetGroups()[ordererGroup]
		if application == nil || ordering == nil {
			return nil, errors.New("the configuration has no organisations or no orderers")
		}
		if application.Groups == nil {
			application.Groups = map[string]*common.ConfigGroup{}
		}
		if err := change(root, application, ordering); err != nil {
			return nil, err
		}
		if _, err := consentersOf(ordering); err != nil {
			return nil, err
		}
		setPolicies(root)
		return out, nil
	}
}

func replace(g *common.ConfigGroup, key string, m proto.Message) {
	old := g.GetValues()[key]
	g.Values[key] = &common.ConfigValue{Value: marshal(m), ModPolicy: admins, Version: old.GetVersion()}
}

func anchorPeers(d Descriptor) *peer.AnchorPeers {
	return &peer.AnchorPeers{AnchorPeers: []*peer.AnchorPeer{{Host: d.Peer.Host, Port: int32(d.Peer.Port)}}} //nolint:gosec // G115: a port
}

func consentersOf(ordering *common.ConfigGroup) ([]*common.Consenter, error) {
	list := &common.Orderers{}
	if err := exact(ordering.GetValues()[orderersKey].GetValue(), list); err != nil {
		return nil, fmt.Errorf("list of consenters: %w", err)
	}
	return list.GetConsenterMapping(), nil
}

// setConsenters writes the list and the policy of blocks, which orderers compare with it.
func setConsenters(ordering *common.ConfigGroup, list []*common.Consenter) error {
	if len(list) == 0 {
		return errors.New("a channel has at least one consenter")
	}
	replace(ordering, orderersKey, &common.Orderers{ConsenterMapping: list})
	ordering.Policies[blockValidator] = quorumOf(list)
	return nil
}

func dropConsenter(ordering *common.ConfigGroup, mspID string) error {
	list, err := consentersOf(ordering)
	if err != nil {
		return err
	}
	delete(ordering.Groups, mspID)
	return setConsenters(ordering, slices.DeleteFunc(list, func(c *common.Consenter) bool { return c.GetMspId() == mspID }))
}

// knownAs checks that the channel knows the organisation by the authorities that its descriptor has: else its
// orderer's certificates would be below roots that the channel does not have.
func knownAs(application *common.ConfigGroup, d Descriptor) error {
	if err := d.shape(); err != nil {
		return err
	}
	if string(application.Groups[d.MSPID].GetValues()[mspKey].GetValue()) != string(marshal(mspConfig(d))) {
		return fmt.Errorf("the channel knows %s by other authorities or revocation lists than its descriptor has: change these first", d.MSPID)
	}
	return nil
}

// newcomer checks that a descriptor takes nothing that another organisation of the channel has.
func newcomer(root *common.ConfigGroup, d Descriptor) error {
	if err := d.shape(); err != nil {
		return err
	}
	others := proto.CloneOf(root.GetGroups()[applicationGroup])
	others.Groups[d.MSPID] = applicationOrg(d)
	return apart(others)
}

// apart checks that no two organisations have an authority or an anchor peer in common, and that each has the
// name of its MSP.
func apart(application *common.ConfigGroup) error {
	taken := map[string]string{}
	for _, id := range names(application.GetGroups()) {
		org := application.GetGroups()[id]
		m, outer, anchors := &msp.FabricMSPConfig{}, &msp.MSPConfig{}, &peer.AnchorPeers{}
		if proto.Unmarshal(org.GetValues()[mspKey].GetValue(), outer) != nil || proto.Unmarshal(outer.GetConfig(), m) != nil ||
			proto.Unmarshal(org.GetValues()[anchorPeersKey].GetValue(), anchors) != nil {
			return fmt.Errorf("%s: %w", id, errUnknown)
		}
		if m.GetName() != id {
			return fmt.Errorf("%s has the MSP of %.80q", id, m.GetName())
		}
		own, err := Descriptor{
			Roots: stringsOf(m.GetRootCerts()), Intermediates: stringsOf(m.GetIntermediateCerts()),
			TLSRoots: stringsOf(m.GetTlsRootCerts()), TLSIntermediates: stringsOf(m.GetTlsIntermediateCerts()),
		}.keys()
		if err != nil {
			return fmt.Errorf("the authorities of %s: %w", id, err)
		}
		for _, key := range own {
			if other, ok := taken[key]; ok {
				return fmt.Errorf("%s and %s have the same authority", other, id)
			}
			taken[key] = id
		}
		for _, p := range anchors.GetAnchorPeers() {
			at := Endpoint{p.GetHost(), int(p.GetPort())}.String()
			if other, ok := taken[at]; ok {
				return fmt.Errorf("%s and %s have the same endpoint %s", other, id, at)
			}
			taken[at] = id
		}
	}
	return nil
}
