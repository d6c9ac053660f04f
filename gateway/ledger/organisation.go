package ledger

import (
	"maps"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"

	"github.com/waybill-dev/waybill/gateway/block"
)

// Names in a channel's configuration (fabric common/channelconfig).
const (
	groupApplication = "Application"
	groupOrderer     = "Orderer"
	valueMSP         = "MSP"
	valueOrderers    = "Orderers"
)

// decodeOrganisations reads the application organisations of a configuration
// transaction, sorted by MSP id.
func decodeOrganisations(raw []byte) ([]block.Organisation, error) {
	var config common.ConfigEnvelope
	if err := decode(raw, &config, "configuration"); err != nil {
		return nil, err
	}
	channel := config.GetConfig().GetChannelGroup().GetGroups()
	groups := channel[groupApplication].GetGroups()
	var consenters common.Orderers
	if err := decode(channel[groupOrderer].GetValues()[valueOrderers].GetValue(), &consenters, "consenters"); err != nil {
		return nil, err
	}
	var organisations []block.Organisation
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		var outer msp.MSPConfig
		var inner msp.FabricMSPConfig
		value, ok := groups[name].GetValues()[valueMSP]
		if !ok {
			continue
		}
		if err := decode(value.GetValue(), &outer, "MSP of "+name); err != nil {
			return nil, err
		}
		if err := decode(outer.GetConfig(), &inner, "MSP of "+name); err != nil {
			return nil, err
		}
		o := block.Organisation{
			MSPID: inner.GetName(), RootCerts: inner.GetRootCerts(),
			IntermediateCerts: inner.GetIntermediateCerts(), RevocationLists: inner.GetRevocationList(),
		}
		for _, c := range consenters.GetConsenterMapping() {
			if c.GetMspId() == o.MSPID {
				o.Orderers, o.OrderersTLS = append(o.Orderers, c.GetIdentity()), append(o.OrderersTLS, c.GetServerTlsCert())
			}
		}
		organisations = append(organisations, o)
	}
	slices.SortFunc(organisations, func(a, b block.Organisation) int {
		if a.MSPID < b.MSPID {
			return -1
		}
		return 1
	})
	return organisations, nil
}
