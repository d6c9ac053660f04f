package channel

import (
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

// The rules of an update are those of Fabric (internal/configtxlator/update): what changes gets the next version;
// a group gets it when what is in it changes, and lists then what stays in it, by version alone; what an
// update relies on is in the set that it reads.

// versioned is a value or a policy of a configuration.
type versioned interface {
	proto.Message
	GetVersion() uint64
	GetModPolicy() string
}

// difference is what of two groups differs.
type difference struct {
	read, write *common.ConfigGroup
	changed     bool
}

// diff returns the sets of an update that makes one group the other. Versions in to do not matter.
func diff(from, to *common.ConfigGroup) difference {
	read, write := &common.ConfigGroup{Version: from.GetVersion()}, &common.ConfigGroup{Version: from.GetVersion()}
	d := difference{read: read, write: write}
	membership := from.GetModPolicy() != to.GetModPolicy()

	sameValues, news := compare(from.GetValues(), to.GetValues(), func(v *common.ConfigValue, version uint64) {
		v.Version = version
	})
	write.Values = news.changed
	samePolicies, newPolicies := compare(from.GetPolicies(), to.GetPolicies(), func(p *common.ConfigPolicy, version uint64) {
		p.Version = version
	})
	write.Policies = newPolicies.changed
	membership = membership || news.membership || newPolicies.membership

	sameGroups := map[string]*common.ConfigGroup{}
	read.Groups, write.Groups = map[string]*common.ConfigGroup{}, map[string]*common.ConfigGroup{}
	for name, old := range from.GetGroups() {
		now, ok := to.GetGroups()[name]
		if !ok {
			membership = true
			continue
		}
		below := diff(old, now)
		if !below.changed {
			sameGroups[name] = &common.ConfigGroup{Version: old.GetVersion()}
			continue
		}
		d.changed = true
		read.Groups[name], write.Groups[name] = below.read, below.write
	}
	for name, now := range to.GetGroups() {
		if _, ok := from.GetGroups()[name]; !ok {
			membership = true
			write.Groups[name] = unversioned(proto.CloneOf(now))
		}
	}
	d.changed = d.changed || membership || len(write.Values) > 0 || len(write.Policies) > 0
	if !membership {
		return d
	}
	write.Version, write.ModPolicy = from.GetVersion()+1, to.GetModPolicy()
	read.Values, read.Policies = map[string]*common.ConfigValue{}, map[string]*common.ConfigPolicy{}
	for name, version := range sameValues {
		read.Values[name], write.Values[name] = &common.ConfigValue{Version: version}, &common.ConfigValue{Version: version}
	}
	for name, version := range samePolicies {
		read.Policies[name], write.Policies[name] = &common.ConfigPolicy{Version: version}, &common.ConfigPolicy{Version: version}
	}
	for name, g := range sameGroups {
		read.Groups[name], write.Groups[name] = g, proto.CloneOf(g)
	}
	return d
}

// written is what an update writes of the values, or the policies, of a group.
type written[M versioned] struct {
	changed    map[string]M
	membership bool // something came or went
}

// compare returns the versions of what stays as it is, and what is written.
func compare[M versioned](from, to map[string]M, set func(M, uint64)) (map[string]uint64, written[M]) {
	stays, out := map[string]uint64{}, written[M]{changed: map[string]M{}}
	for name, old := range from {
		now, ok := to[name]
		if !ok {
			out.membership = true
			continue
		}
		copied := proto.CloneOf(now)
		set(copied, old.GetVersion())
		if proto.Equal(copied, old) {
			stays[name] = old.GetVersion()
			continue
		}
		set(copied, old.GetVersion()+1)
		out.changed[name] = copied
	}
	for name, now := range to {
		if _, ok := from[name]; !ok {
			out.membership = true
			copied := proto.CloneOf(now)
			set(copied, 0)
			out.changed[name] = copied
		}
	}
	return stays, out
}
