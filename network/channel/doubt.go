package channel

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/protobuf/proto"
)

// Doubts says where a configuration is not one that this program would write.
func Doubts(config *common.Config) []string {
	var e Explanation
	e.doubt(config.GetChannelGroup())
	return e.Warnings
}

// doubt warns of what this program would not have written.
func (e *Explanation) doubt(after *common.ConfigGroup) {
	application, ordering := after.GetGroups()[applicationGroup], after.GetGroups()[ordererGroup]
	if application == nil || ordering == nil {
		e.warn("the channel is left without organisations or without orderers")
		return
	}
	for _, name := range names(after.GetGroups()) {
		if name != applicationGroup && name != ordererGroup {
			e.warn("Channel/%s: a channel of ours has no such group", name)
		}
	}
	batch := &orderer.BatchSize{}
	if err := exact(ordering.GetValues()[batchSizeKey].GetValue(), batch); err != nil {
		e.warn("Channel/Orderer: BatchSize: %v", err)
	} else if err := checkBatch(batch); err != nil {
		e.warn("Channel/Orderer: BatchSize: %v", err) // so small that nothing fits, it could not even be changed back
	}
	want := withPolicies(after)
	if list, err := consentersOf(ordering); err == nil {
		want.Groups[ordererGroup].Policies[blockValidator] = quorumOf(list)
		e.doubtConsenters(after, list)
		e.doubtEndpoints(ordering, list)
	}
	for _, id := range names(ordering.GetGroups()) {
		own, its := ordering.GetGroups()[id].GetValues()[mspKey], application.GetGroups()[id]
		if its == nil {
			e.warn("%s orders, and is not among the channel's organisations", id)
		} else if !bytes.Equal(own.GetValue(), its.GetValues()[mspKey].GetValue()) {
			e.warn("%s has other authorities for ordering than for writing", id)
		}
	}
	has, err := elements(after)
	if err != nil {
		e.warn("%v", err)
		return
	}
	wanted, err := elements(want)
	if err != nil {
		e.warn("%v", err)
		return
	}
	for _, w := range inOrder(wanted) {
		if h, ok := has[w.id()]; w.kind == policyKind && (!ok || !bytes.Equal(marshal(h.policy.GetPolicy()), marshal(w.policy.GetPolicy()))) {
			text, _ := w.words()
			e.warn("%s is not what follows from the channel's organisations: %s", w.at(), strings.ReplaceAll(text, "\n", "; "))
		}
	}
	for _, h := range inOrder(has) {
		if h.modPolicy() != h.changedBy() {
			e.warn("%s is changed by %.80q, not by %s", h.at(), h.modPolicy(), h.changedBy())
		}
		if _, ok := wanted[h.id()]; h.kind == policyKind && !ok {
			e.warn("%s is a policy that a channel of ours does not have", h.at())
		}
		if len(h.path) == 3 && h.kind == groupKind && h.group.GetValues()[mspKey] == nil {
			e.warn("%s has no authorities", h.at())
		}
	}
	if err := apart(application); err != nil {
		e.warn("%v", err)
	}
}

// doubtConsenters warns of consenters that would give an organisation more than its part.
func (e *Explanation) doubtConsenters(after *common.ConfigGroup, list []*common.Consenter) {
	count := map[string]int{}
	for _, c := range list {
		count[c.GetMspId()]++
	}
	for _, id := range names(count) {
		if count[id] > 1 {
			e.warn("%s has %d consenters: one organisation could stop or turn the channel", id, count[id])
		}
		if after.GetGroups()[ordererGroup].GetGroups()[id] == nil {
			e.warn("a consenter is of %.80q, which is not among the orderers' organisations", id)
		}
	}
	taken := map[string]string{}
	for _, c := range list {
		for _, x := range [][2]string{{"number", fmt.Sprint(c.GetId())}, {"address", consenterAt(c)}, {"identity", string(c.GetIdentity())}} {
			if other, ok := taken[x[0]+x[1]]; ok {
				e.warn("consenters of %s and %s have the same %s", other, c.GetMspId(), x[0])
			}
			taken[x[0]+x[1]] = c.GetMspId()
		}
	}
	for _, c := range list {
		p, err := poolOf(&common.Config{ChannelGroup: after}, c.GetMspId())
		if err != nil {
			continue // said above
		}
		cert, err := parseCertificate(string(c.GetIdentity()))
		if err == nil {
			err = p.member(cert, "orderer", bothInForce(cert, p))
		}
		if err != nil {
			e.warn("the consenter of %s: %v", c.GetMspId(), err)
		}
	}
}

// bothInForce is a moment at which a certificate and its authorities could be in force: that it has run out since is
// no reason to let nothing be changed.
func bothInForce(cert *x509.Certificate, p pool) time.Time {
	at := cert.NotBefore
	for _, c := range slices.Concat(p.roots, p.intermediates) {
		if c.NotBefore.After(at) && c.NotBefore.Before(cert.NotAfter) {
			at = c.NotBefore
		}
	}
	return at
}

// withPolicies is a configuration with the policies that follow from its organisations, and no others; that of
// blocks is left out, which follows from the consenters.
func withPolicies(config *common.ConfigGroup) *common.ConfigGroup {
	out := proto.CloneOf(config)
	application, ordering := out.GetGroups()[applicationGroup], out.GetGroups()[ordererGroup]
	for _, g := range []*common.ConfigGroup{out, application, ordering} {
		g.Policies = map[string]*common.ConfigPolicy{}
	}
	setPolicies(out)
	// Whoever another organisation's admin could sign for would have two voices.
	for id, g := range application.GetGroups() {
		g.Policies = applicationOrg(Descriptor{MSPID: id}).GetPolicies()
	}
	for id, g := range ordering.GetGroups() {
		g.Policies = ordererOrg(Descriptor{MSPID: id, Orderer: &Orderer{}}).GetPolicies()
	}
	return out
}

func consenterAt(c *common.Consenter) string { return Endpoint{c.GetHost(), int(c.GetPort())}.String() }

// doubtEndpoints warns where the addresses of orderers are not those of the consenters: a peer's gateway takes their
// number for the size of the cluster.
func (e *Explanation) doubtEndpoints(ordering *common.ConfigGroup, list []*common.Consenter) {
	for _, id := range names(ordering.GetGroups()) {
		var want []string
		for _, c := range list {
			if c.GetMspId() == id {
				want = append(want, consenterAt(c))
			}
		}
		has := &common.OrdererAddresses{}
		if err := exact(ordering.GetGroups()[id].GetValues()[endpointsKey].GetValue(), has); err != nil {
			e.warn("Channel/Orderer/%s: Endpoints: %v", id, err)
		} else if !slices.Equal(has.GetAddresses(), want) {
			e.warn("%s orders at %q, and its consenter is at %q: peers take the number of addresses for that of the orderers, and could wait for more than there are", id, has.GetAddresses(), want)
		}
	}
}

// doubtRevoked warns of certificates that were revoked and would count again: by a list from before, as a restored
// backup has it.
func (e *Explanation) doubtRevoked(before, after *common.ConfigGroup) {
	was, is := before.GetGroups()[applicationGroup].GetGroups(), after.GetGroups()[applicationGroup].GetGroups()
	for _, id := range names(is) {
		if bytes.Equal(was[id].GetValues()[mspKey].GetValue(), is[id].GetValues()[mspKey].GetValue()) {
			continue
		}
		now, err := poolOf(&common.Config{ChannelGroup: after}, id)
		if err != nil {
			e.warn("%v", err)
			continue
		}
		old, err := poolOf(&common.Config{ChannelGroup: before}, id)
		if err != nil {
			continue // it comes with this update, or was not understood before
		}
		listed := map[string]bool{}
		for _, list := range now.revoked {
			for _, r := range list.RevokedCertificateEntries {
				listed[string(list.RawIssuer)+r.SerialNumber.String()] = true
			}
		}
		for _, list := range old.revoked {
			if !slices.ContainsFunc(slices.Concat(now.roots, now.intermediates), func(c *x509.Certificate) bool { return list.CheckSignatureFrom(c) == nil }) {
				continue // whom its authority let in counts for nothing any more
			}
			gone := slices.DeleteFunc(slices.Clone(list.RevokedCertificateEntries), func(r x509.RevocationListEntry) bool {
				return listed[string(list.RawIssuer)+r.SerialNumber.String()]
			})
			if len(gone) > 0 {
				e.warn("%d certificates of %s that are revoked would not be any more, the first of them %x: whoever has the key acts again, unless it has expired", len(gone), id, gone[0].SerialNumber)
			}
		}
	}
}
