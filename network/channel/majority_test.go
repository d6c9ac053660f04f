package channel_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

// principalsOf returns whom a policy that names its principals names, sorted, and how many must sign.
func principalsOf(t *testing.T, p *common.ConfigPolicy) (who []string, needed int32) {
	t.Helper()
	envelope := &common.SignaturePolicyEnvelope{}
	if p.GetPolicy().GetType() != int32(common.Policy_SIGNATURE) || proto.Unmarshal(p.GetPolicy().GetValue(), envelope) != nil {
		t.Fatalf("a policy that names nobody: %v", p)
	}
	for _, one := range envelope.GetIdentities() {
		role := &msp.MSPRole{}
		if one.GetPrincipalClassification() != msp.MSPPrincipal_ROLE || proto.Unmarshal(one.GetPrincipal(), role) != nil {
			t.Fatalf("a principal that is no role: %v", one)
		}
		who = append(who, role.GetMspIdentifier()+"."+role.GetRole().String())
	}
	slices.Sort(who)
	return who, envelope.GetRule().GetNOutOf().GetN()
}

// What names its principals is the law that the meta policy in its place would be: any of
// the organisations below, or a majority of them, whatever their number.
func TestPoliciesSayWhatTheMetaPolicyWould(t *testing.T) {
	for count := 1; count <= 8; count++ {
		var orgs []channel.Descriptor
		for i := range count {
			orgs = append(orgs, channeltest.New(t, fmt.Sprintf("org%d", i), 7000+10*i).Descriptor)
		}
		block, err := channel.Found(channel.Parameters{}, orgs)
		if err != nil {
			t.Fatal(err)
		}
		_, config, err := channel.ConfigOf(block)
		if err != nil {
			t.Fatal(err)
		}
		root := config.GetChannelGroup()
		application, orderer := root.GetGroups()["Application"], root.GetGroups()["Orderer"]
		below := func(g *common.ConfigGroup, name string) (all []string) {
			for _, o := range g.GetGroups() {
				who, needed := principalsOf(t, o.GetPolicies()[name])
				if needed != 1 {
					t.Errorf("%s of an organisation asks for %d", name, needed)
				}
				all = append(all, who...)
			}
			return slices.Compact(slices.Sorted(slices.Values(all)))
		}
		for _, name := range []string{"Readers", "Writers"} {
			o, a := below(orderer, name), below(application, name)
			both := slices.Compact(slices.Sorted(slices.Values(slices.Concat(o, a))))
			for where, c := range map[string]struct {
				g    *common.ConfigGroup
				want []string
			}{"the channel": {root, both}, "orderers": {orderer, o}, "application": {application, a}} {
				who, needed := principalsOf(t, c.g.GetPolicies()[name])
				if needed != 1 || !slices.Equal(who, c.want) {
					t.Errorf("%d organisations: %s of %s: %d of %v, want any of %v", count, name, where, needed, who, c.want)
				}
			}
		}
		who, needed := principalsOf(t, application.GetPolicies()["Endorsement"])
		if int(needed) != count/2+1 || !slices.Equal(who, below(application, "Endorsement")) {
			t.Errorf("%d organisations: endorsement by %d of %v", count, needed, who)
		}
	}
}
