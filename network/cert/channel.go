package cert

import (
	"bytes"
	"encoding/pem"
	"maps"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Channel is what the channel's configuration knows of certificates. All are PEM.
type Channel struct {
	Sequence   uint64 // of the configuration: how often it was changed
	Members    []Member
	Consenters []*common.Consenter
}

// Member is an organisation as the channel knows it.
type Member struct {
	MSPID                                           string
	Roots, Intermediates, TLSRoots, TLSBelow, Lists [][]byte
}

// ReadChannel reads the channel's configuration.
func ReadChannel(config *common.Config) (Channel, error) {
	fail := func(what string, err error) (Channel, error) {
		return Channel{}, provenance.Wrap(provenance.Invalid, err, "configuration: %s", what)
	}
	groups := config.GetChannelGroup().GetGroups()
	out := Channel{Sequence: config.GetSequence()}
	seen := map[string]bool{}
	for _, kind := range []string{"Application", "Orderer"} {
		orgs := groups[kind].GetGroups()
		for _, name := range slices.Sorted(maps.Keys(orgs)) {
			m, err := readMember(orgs[name])
			if err != nil {
				return fail("MSP of "+name, err)
			}
			if !seen[m.MSPID] {
				out.Members = append(out.Members, m)
			}
			seen[m.MSPID] = true
		}
	}
	var orderers common.Orderers
	if err := proto.Unmarshal(groups["Orderer"].GetValues()["Orderers"].GetValue(), &orderers); err != nil {
		return fail("consenters", err)
	}
	out.Consenters = orderers.GetConsenterMapping()
	return out, nil
}

func readMember(group *common.ConfigGroup) (Member, error) {
	var outer msp.MSPConfig
	if err := proto.Unmarshal(group.GetValues()["MSP"].GetValue(), &outer); err != nil {
		return Member{}, err
	}
	var inner msp.FabricMSPConfig
	if err := proto.Unmarshal(outer.GetConfig(), &inner); err != nil {
		return Member{}, err
	}
	return Member{
		MSPID: inner.GetName(), Roots: inner.GetRootCerts(), Intermediates: inner.GetIntermediateCerts(),
		TLSRoots: inner.GetTlsRootCerts(), TLSBelow: inner.GetTlsIntermediateCerts(), Lists: inner.GetRevocationList(),
	}, nil
}

// Pins says whether a consenter of the channel is known by exactly this certificate.
func (c Channel) Pins(identity []byte) bool {
	return slices.ContainsFunc(c.Consenters, func(o *common.Consenter) bool { return samePEM(o.GetIdentity(), identity) })
}

// Trusts says whether a member has this authority, among those of its kind.
func (c Channel) Trusts(mspID string, a Authority, root []byte) bool {
	for _, m := range c.Members {
		if m.MSPID != mspID {
			continue
		}
		list := m.Roots
		if a == Transport {
			list = m.TLSRoots
		}
		if slices.ContainsFunc(list, func(have []byte) bool { return samePEM(have, root) }) {
			return true
		}
	}
	return false
}

func samePEM(a, b []byte) bool {
	left, _ := pem.Decode(a)
	right, _ := pem.Decode(b)
	return left != nil && right != nil && bytes.Equal(left.Bytes, right.Bytes)
}
