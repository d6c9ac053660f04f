package channel

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

// element is one thing of a configuration that has a version: a group, a value or a policy.
type element struct {
	kind string   // "group", "value" or "policy"
	path []string // of its group, from "Channel"; of a group: with its own name
	name string

	group  *common.ConfigGroup
	value  *common.ConfigValue
	policy *common.ConfigPolicy
}

const (
	groupKind  = "group"
	valueKind  = "value"
	policyKind = "policy"
)

// at is where it is, e.g. "Channel/Orderer: BatchSize".
func (e element) at() string {
	where := strings.Join(e.path, "/")
	if e.kind == groupKind {
		return where
	}
	return where + ": " + e.name
}

func (e element) id() string { return e.kind + "\x00" + e.at() }

func (e element) version() uint64 {
	switch e.kind {
	case groupKind:
		return e.group.GetVersion()
	case valueKind:
		return e.value.GetVersion()
	}
	return e.policy.GetVersion()
}

func (e element) modPolicy() string {
	switch e.kind {
	case groupKind:
		return e.group.GetModPolicy()
	case valueKind:
		return e.value.GetModPolicy()
	}
	return e.policy.GetModPolicy()
}

// changedBy is the policy that a channel of ours asks for a change of it.
func (e element) changedBy() string {
	switch {
	case len(e.path) != 3:
	case e.path[1] == applicationGroup && e.kind == groupKind:
		return applicationAdmins
	case e.path[1] == ordererGroup && (e.kind == groupKind || e.kind == valueKind && e.name == endpointsKey):
		return orderingAdmins
	}
	return admins
}

// words says what it is, and whether that was understood.
func (e element) words() (string, bool) {
	var text string
	var err error
	raw := []byte(nil)
	switch e.kind {
	case groupKind:
		text = "a group"
	case valueKind:
		raw = e.value.GetValue()
		text, err = valueWords(e.name, raw)
	default:
		raw = marshal(e.policy.GetPolicy())
		text, err = policyWords(e.policy.GetPolicy())
	}
	if err != nil {
		sum := sha256.Sum256(raw)
		return fmt.Sprintf("NOT UNDERSTOOD: %d bytes, sha256 %s", len(raw), hex.EncodeToString(sum[:])), false
	}
	if policy := e.modPolicy(); policy != e.changedBy() {
		return fmt.Sprintf("%s\nNOT UNDERSTOOD: it is changed by %.80q, not by %s", text, policy, e.changedBy()), false
	}
	return text, true
}

// elementName is what Fabric allows as the name of a group, a value or a policy.
var elementName = regexp.MustCompile(`^[a-zA-Z0-9.-]{1,100}$`)

// maxElements bounds what is read of one configuration: a hundred organisations with a dozen elements each.
const maxElements = 10_000

// elements lists everything below a group by its id. Bytes that are no part of a configuration are an error.
func elements(root *common.ConfigGroup) (map[string]element, error) {
	out := map[string]element{}
	if root == nil {
		return out, nil
	}
	return out, collect(out, []string{"Channel"}, root)
}

func collect(out map[string]element, path []string, g *common.ConfigGroup) error {
	if len(path) > 4 || len(out) > maxElements {
		return fmt.Errorf("below %s: deeper or more than a configuration of ours", strings.Join(path, "/"))
	}
	e := element{kind: groupKind, path: slices.Clone(path), name: path[len(path)-1], group: g}
	if err := known(e, g); err != nil {
		return err
	}
	out[e.id()] = e
	for name, v := range g.GetValues() {
		e := element{kind: valueKind, path: e.path, name: name, value: v}
		if err := known(e, v); err != nil {
			return err
		}
		out[e.id()] = e
	}
	for name, p := range g.GetPolicies() {
		e := element{kind: policyKind, path: e.path, name: name, policy: p}
		if err := known(e, p); err != nil {
			return err
		}
		if err := known(e, p.GetPolicy()); err != nil {
			return err
		}
		out[e.id()] = e
	}
	for name, below := range g.GetGroups() {
		if err := collect(out, append(slices.Clone(path), name), below); err != nil {
			return err
		}
	}
	return nil
}

func known(e element, m proto.Message) error {
	if !elementName.MatchString(e.name) {
		return fmt.Errorf("%.200q: not a name in a configuration", e.at())
	}
	if len(m.ProtoReflect().GetUnknown()) > 0 {
		return fmt.Errorf("%s: has fields that are not understood", e.at())
	}
	return nil
}

// inOrder lists elements as people read them: groups first, what is in them next, by name.
func inOrder(all map[string]element) []element {
	out := make([]element, 0, len(all))
	for _, e := range all {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b element) int {
		return cmp.Or(slices.Compare(a.path, b.path), cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
	return out
}
