package e2e

import (
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel"
)

// announces has the latecomer bring more addresses of orderers to the orderers, by its own signature: with these, peers
// would wait for a quorum that is not there.
func (l *latecomer) announces(addresses ...string) {
	l.t.Helper()
	me := l.folder.Client()
	signer, err := channel.ReadSigner(me.MSPID, me.People["admin"].Cert, me.People["admin"].Key, nil)
	l.check(err)
	m, err := channel.Connect(l.folder.Spec().Channel, signer, me.PeerAddress, me.PeerTLSCA)
	l.check(err)
	defer m.Close() //nolint:errcheck // it is only tested with
	config, _, err := m.Current(l.ctx)
	l.check(err)
	to := proto.CloneOf(config)
	own := to.GetChannelGroup().GetGroups()["Orderer"].GetGroups()[me.MSPID]
	raw, err := proto.Marshal(&common.OrdererAddresses{Addresses: addresses})
	l.check(err)
	own.GetValues()["Endpoints"].Value = raw
	update, err := channel.Compute(l.folder.Spec().Channel, config, to)
	l.check(err)
	signature, err := m.SignUpdate(update)
	l.check(err)
	if _, err := m.Submit(l.ctx, config, update, []*common.ConfigSignature{signature}); err == nil || !strings.Contains(err.Error(), "Endpoints not satisfied") {
		l.t.Errorf("one organisation announces orderers: %v", err)
	}
}
