package channel

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

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
		ok = now.modPolicy() == admins
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

// doubt warns of what this program would not have written.
func (e *Explanation) doubt(after *common.ConfigGroup) {
	application, ordering := after.GetGroups()[applicationGroup], after.GetGroups()[ordererGroup]
	if application == nil || ordering == nil {
		e.warn("the channel is left without organisations or without orderers")
		return
	}
	want := proto.CloneOf(after)
	setPolicies(want)
	if list, err := consentersOf(ordering); err == nil {
		want.Groups[ordererGroup].Policies[blockValidator] = quorumOf(list)
		e.doubtConsenters(after, list)
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
	for _, c := range list {
		p, err := poolOf(&common.Config{ChannelGroup: after}, c.GetMspId())
		if err != nil {
			continue // said above
		}
		cert, err := parseCertificate(string(c.GetIdentity()))
		if err == nil {
			_, err = p.issuer(cert, p.usage, bothInForce(cert, p))
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
