package channel

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

// MaxUpdate bounds the bytes of a configuration update that is voted on. Adding a consenter writes the list of
// all, about 4 KiB for each: it is enough for 48 of them and a new organisation.
const MaxUpdate = 256 << 10

// ErrStale says that an update was made for another configuration than the current one.
var ErrStale = errors.New("made for a configuration that is not the current one")

// ErrInForce says that what an update would change is so already.
var ErrInForce = errors.New("in force already")

// Compute returns the configuration update that makes one configuration the other: always the same bytes.
func Compute(name string, from, to *common.Config) ([]byte, error) {
	d := diff(from.GetChannelGroup(), to.GetChannelGroup())
	if !d.changed {
		return nil, ErrInForce
	}
	raw := marshal(&common.ConfigUpdate{ChannelId: name, ReadSet: d.read, WriteSet: d.write})
	if len(raw) > MaxUpdate {
		return nil, fmt.Errorf("an update of %d bytes; at most %d are voted on", len(raw), MaxUpdate)
	}
	// What is proposed does what was meant, by the rules that orderers apply.
	got, err := Apply(name, from, raw)
	if err != nil {
		return nil, fmt.Errorf("compute update: %w", err)
	}
	if !sameConfig(got.ChannelGroup, to.GetChannelGroup()) {
		return nil, errors.New("compute update: it does not make what was asked for")
	}
	return raw, nil
}

// sameConfig compares two configurations, versions aside.
func sameConfig(a, b *common.ConfigGroup) bool {
	return bytes.Equal(marshal(unversioned(proto.CloneOf(a))), marshal(unversioned(proto.CloneOf(b))))
}

func unversioned(g *common.ConfigGroup) *common.ConfigGroup {
	g.Version = 0
	for _, v := range g.GetValues() {
		v.Version = 0
	}
	for _, p := range g.GetPolicies() {
		p.Version = 0
	}
	for _, below := range g.GetGroups() {
		unversioned(below)
	}
	return g
}

// Apply returns the configuration that an update makes of the current one, and refuses what orderers would
// refuse whoever signed it: ErrStale if it was made for another configuration, ErrInForce if it
// was applied already.
func Apply(name string, current *common.Config, raw []byte) (*common.Config, error) {
	has, _, delta, err := split(name, current, raw)
	if err != nil {
		return nil, err
	}
	merged := make(map[string]element, len(has)+len(delta))
	for id, e := range has {
		merged[id] = e
	}
	for id, e := range delta {
		merged[id] = e
	}
	root, err := assemble(merged, []string{"Channel"})
	if err != nil {
		return nil, err
	}
	return &common.Config{Sequence: current.GetSequence() + 1, ChannelGroup: root}, nil
}

// split reads an update against the configuration that it is to change: what is there, what it would write, and
// what of that is new.
func split(name string, current *common.Config, raw []byte) (has, write, delta map[string]element, err error) {
	update, err := ParseUpdate(raw)
	if err != nil {
		return nil, nil, nil, err
	}
	if update.GetChannelId() != name {
		return nil, nil, nil, fmt.Errorf("an update of channel %.80q, not of %s", update.GetChannelId(), name)
	}
	if has, err = elements(current.GetChannelGroup()); err != nil {
		return nil, nil, nil, fmt.Errorf("current configuration: %w", err)
	}
	read, err := elements(update.GetReadSet())
	if err != nil {
		return nil, nil, nil, fmt.Errorf("what it reads: %w", err)
	}
	if write, err = elements(update.GetWriteSet()); err != nil {
		return nil, nil, nil, fmt.Errorf("what it writes: %w", err)
	}
	delta = map[string]element{}
	for id, e := range write {
		if r, ok := read[id]; !ok || r.version() != e.version() {
			delta[id] = e
		}
	}
	if len(delta) == 0 {
		return nil, nil, nil, errors.New("changes nothing")
	}
	if applied(has, delta) {
		return nil, nil, nil, ErrInForce
	}
	for _, e := range inOrder(read) {
		if h, ok := has[e.id()]; !ok || h.version() != e.version() {
			return nil, nil, nil, fmt.Errorf("%w: %s has changed", ErrStale, e.at())
		}
	}
	for _, e := range inOrder(delta) {
		h, ok := has[e.id()]
		if ok && e.version() != h.version()+1 || !ok && e.version() != 0 {
			return nil, nil, nil, fmt.Errorf("%w: %s has changed", ErrStale, e.at())
		}
		if e.modPolicy() == "" {
			return nil, nil, nil, fmt.Errorf("%s: it says nobody who may change it", e.at())
		}
	}
	return has, write, delta, nil
}

// applied says whether all that an update writes is there, in the version that it writes.
func applied(has, delta map[string]element) bool {
	for id, e := range delta {
		h, ok := has[id]
		if !ok || h.version() != e.version() {
			return false
		}
		if e.kind != groupKind && !same(h, e) {
			return false
		}
	}
	return true
}

// assemble makes groups of elements again. What is in a group is what the group, in the version that counts, lists.
func assemble(all map[string]element, path []string) (*common.ConfigGroup, error) {
	e, ok := all[element{kind: groupKind, path: path}.id()]
	if !ok {
		return nil, fmt.Errorf("%w: a group that it keeps is gone", ErrStale)
	}
	out := newGroup()
	out.Version, out.ModPolicy = e.group.GetVersion(), e.group.GetModPolicy()
	for name := range e.group.GetValues() {
		v, ok := all[element{kind: valueKind, path: path, name: name}.id()]
		if !ok {
			return nil, fmt.Errorf("%w: a value that it keeps is gone", ErrStale)
		}
		out.Values[name] = proto.CloneOf(v.value)
	}
	for name := range e.group.GetPolicies() {
		p, ok := all[element{kind: policyKind, path: path, name: name}.id()]
		if !ok {
			return nil, fmt.Errorf("%w: a policy that it keeps is gone", ErrStale)
		}
		out.Policies[name] = proto.CloneOf(p.policy)
	}
	for name := range e.group.GetGroups() {
		below, err := assemble(all, append(append([]string{}, path...), name))
		if err != nil {
			return nil, err
		}
		out.Groups[name] = below
	}
	return out, nil
}

// ParseUpdate decodes an update whose every byte is understood as one.
func ParseUpdate(raw []byte) (*common.ConfigUpdate, error) {
	if len(raw) == 0 || len(raw) > MaxUpdate {
		return nil, fmt.Errorf("an update of %d bytes: want 1 to %d", len(raw), MaxUpdate)
	}
	update := &common.ConfigUpdate{}
	if err := exact(raw, update); err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	if len(update.GetIsolatedData()) > 0 {
		return nil, errors.New("update: data beside the configuration, which nobody reads")
	}
	return update, nil
}
