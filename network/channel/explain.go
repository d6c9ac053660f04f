package channel

import (
	"fmt"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

// Explanation says what an update would change, read from its bytes and the current configuration.
type Explanation struct {
	Sequence uint64   `json:"sequence"` // of the configuration that it changes
	Summary  []string `json:"summary"`
	Changes  []Edit   `json:"changes"`
	// Warnings are what nobody should agree to without asking: things that are not understood, and
	// configurations that this program would not write.
	Warnings []string `json:"warnings,omitempty"`
	Added    []string `json:"added,omitempty"`   // organisations, by MSP id
	Removed  []string `json:"removed,omitempty"` // the same
	// Consenters says that the list of them changes; Leaving are the organisations whose consenter goes or is replaced.
	Consenters bool     `json:"consenters,omitempty"`
	Leaving    []string `json:"leaving,omitempty"`
}

// Edit is one field of the configuration before and after.
type Edit struct {
	Path    string `json:"path"`
	Was     string `json:"was,omitempty"`     // "" where it was not there
	Becomes string `json:"becomes,omitempty"` // "" where it goes
}

// Explain reads an update against the current configuration.
func Explain(name string, current *common.Config, update []byte) (Explanation, error) {
	e := Explanation{Sequence: current.GetSequence()}
	after, err := Apply(name, current, update)
	if err != nil {
		return e, err
	}
	before, write, _, err := split(name, current, update)
	if err != nil {
		return e, err
	}
	now, err := elements(after.GetChannelGroup())
	if err != nil {
		return e, err
	}
	for _, w := range inOrder(write) {
		if _, ok := now[w.id()]; !ok {
			e.warn("%s: the update writes it, and it is not in what comes of it", w.at())
		}
	}
	for _, old := range inOrder(before) {
		if n, ok := now[old.id()]; ok {
			e.edit(old, n)
			continue
		}
		if !within(old, before, now) {
			text, _ := old.words()
			if old.kind != groupKind {
				e.warn("%s goes, as no command of this program makes it", old.at())
			}
			e.Changes = append(e.Changes, Edit{Path: old.at(), Was: text})
		}
	}
	for _, n := range inOrder(now) {
		if _, ok := before[n.id()]; ok {
			continue
		}
		text, ok := n.words()
		if !ok {
			e.warn("%s: %s", n.at(), text)
		}
		e.Changes = append(e.Changes, Edit{Path: n.at(), Becomes: text})
	}
	e.summarize(current.GetChannelGroup(), after.GetChannelGroup())
	e.doubt(after.GetChannelGroup())
	e.doubtRevoked(current.GetChannelGroup(), after.GetChannelGroup())
	return e, nil
}

func (e *Explanation) warn(format string, args ...any) {
	e.Warnings = append(e.Warnings, fmt.Sprintf(format, args...))
}

// within says whether an element goes because a group above it does.
func within(old element, before, now map[string]element) bool {
	for n := len(old.path); n > 0; n-- {
		above := element{kind: groupKind, path: old.path[:n]}
		if above.id() == old.id() {
			continue
		}
		if _, ok := now[above.id()]; !ok {
			_, was := before[above.id()]
			return was
		}
	}
	return false
}

func (e *Explanation) edit(old, now element) {
	a, b := unversion(old), unversion(now)
	if same(a, b) {
		return
	}
	was, _ := a.words()
	becomes, ok := b.words()
	if old.kind == groupKind {
		was, becomes = "changed by "+old.modPolicy(), "changed by "+now.modPolicy()
		ok = now.modPolicy() == now.changedBy()
	}
	if !ok {
		e.warn("%s: %s", now.at(), becomes)
	}
	// The others say who takes part; these are how the channel works at all.
	if now.kind == valueKind && !slices.Contains([]string{mspKey, anchorPeersKey, endpointsKey, orderersKey, batchSizeKey}, now.name) {
		e.warn("%s changes, as no command of this program does: every node must know what it becomes", now.at())
	}
	e.Changes = append(e.Changes, Edit{Path: now.at(), Was: was, Becomes: becomes})
}

// unversion is an element without its version.
func unversion(e element) element {
	switch e.kind {
	case groupKind:
		e.group = &common.ConfigGroup{ModPolicy: e.group.GetModPolicy(), Values: e.group.GetValues(), Policies: e.group.GetPolicies(), Groups: e.group.GetGroups()}
	case valueKind:
		e.value = &common.ConfigValue{Value: e.value.GetValue(), ModPolicy: e.value.GetModPolicy()}
	default:
		e.policy = &common.ConfigPolicy{Policy: e.policy.GetPolicy(), ModPolicy: e.policy.GetModPolicy()}
	}
	return e
}

func (e *Explanation) say(format string, args ...any) {
	e.Summary = append(e.Summary, fmt.Sprintf(format, args...))
}

// summarize says what it comes to.
func (e *Explanation) summarize(before, after *common.ConfigGroup) {
	was, now := names(before.GetGroups()[applicationGroup].GetGroups()), names(after.GetGroups()[applicationGroup].GetGroups())
	for _, id := range now {
		if !slices.Contains(was, id) {
			e.Added = append(e.Added, id)
			e.say("%s comes into the channel: its people may write, its peer endorses", id)
		}
	}
	for _, id := range was {
		if !slices.Contains(now, id) {
			e.Removed = append(e.Removed, id)
			e.say("%s leaves the channel: its people can no longer write, nor its peer endorse, nor its nodes read new blocks", id)
		}
	}
	if len(e.Added)+len(e.Removed) > 0 {
		e.say("%d organisations become %d: %d of their peers must endorse (before: %d of %d)", len(was), len(now), Majority(len(now)), Majority(len(was)), len(was))
	}
	old, errOld := consentersOf(before.GetGroups()[ordererGroup])
	list, errNew := consentersOf(after.GetGroups()[ordererGroup])
	if errOld != nil || errNew != nil {
		e.warn("the list of consenters is not understood")
		return
	}
	moved := 0
	for _, c := range list {
		at := slices.IndexFunc(old, func(o *common.Consenter) bool { return o.GetId() == c.GetId() })
		if at >= 0 && proto.Equal(old[at], c) {
			continue
		}
		moved++
		words := "joins the consenters"
		if at >= 0 {
			e.Leaving = append(e.Leaving, old[at].GetMspId())
			words = "gets another address or other certificates as a consenter, and is started anew with them"
			if was := old[at].GetMspId(); was != c.GetMspId() {
				words = "becomes a consenter in the place of the orderer of " + was
				e.warn("the consenter %d is of %s and becomes one of %s: a consenter comes or goes by itself", c.GetId(), was, c.GetMspId())
			}
		}
		e.say("the orderer of %s (%s) %s", c.GetMspId(), Endpoint{c.GetHost(), int(c.GetPort())}, words)
	}
	for _, o := range old {
		if !slices.ContainsFunc(list, func(c *common.Consenter) bool { return c.GetId() == o.GetId() }) {
			moved++
			e.Leaving = append(e.Leaving, o.GetMspId())
			e.say("the orderer of %s (%s) leaves the consenters", o.GetMspId(), Endpoint{o.GetHost(), int(o.GetPort())})
		}
	}
	if n, m := len(old), len(list); n != m {
		e.say("%d consenters become %d: %d must sign a block (before: %d), %d may lie or be gone (before: %d)", n, m, Quorum(m), Quorum(n), Tolerance(m), Tolerance(n))
	}
	e.Consenters = moved > 0
	if moved > 1 {
		e.warn("%d consenters change at once; one at a time, or blocks may stop for good", moved)
	}
}
