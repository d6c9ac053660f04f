package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// whose says to which organisation a key belongs, by its type: the position of
// the organisation among its attributes.
var whose = map[string]int{
	"member": 0, "grant": 0, "taken": 0, "requests": 0, "proposals": 0, "key": 0, "schema": 0, "context": 0,
	"hold": 1, "ballot": 1, "evset": 1, "evpast": 1, "segment": 1, "journal": 2, "waivers": 2, "witness": 3, "approval": 5,
}

// shared are the keys that belong to nobody, and the acts that may write them.
var shared = map[string][]string{
	"members": {"proposal:"}, "registry": {"proposal:"}, "policies": {"proposal:"}, "policy": {"proposal:"}, "proposed": {"proposal:Open"}, "proposaltext": {"proposal:Open"}, "proposal": {"proposal:"},
	"0page": {"record:Segment"}, "directory": {"record:Segment"}, "run": {"record:Segment"}, "parents": {"record:"},
	// Acts put what is packed under a key of its own.
	"place": {"record:", "promotion:", "release:", "evidence:"}, "tag": {"record:", "promotion:", "release:", "evidence:"},
	"promotion": {"promotion:", "release:"}, "released": {"promotion:", "release:"}, "release": {"promotion:", "release:"}, "carrier": {"promotion:", "release:"},
	"refusal": {"release:"}, "gate": {"promotion:", "release:"}, "evidence": {"evidence:"}, "labels": {"label:"}, "clock": {"clock:"}, "gap": {"clock:"},
}

// rightful holds what an act writes to whose it is: nobody writes what belongs to
// another organisation, but where the law says so.
func (w *world) rightful(k kept) error {
	for _, key := range slices.Sorted(maps.Keys(k.e.Writes)) {
		parts := strings.Split(strings.Trim(key, "\x00"), "\x00")
		objectType, attributes := parts[0], parts[1:]
		wrong := diverge("%v writes %s", k.a, strings.Join(parts, " "))
		if acts, ok := shared[objectType]; ok {
			if !slices.ContainsFunc(acts, func(p string) bool { return strings.HasPrefix(k.a.Do, p) }) {
				return wrong
			}
			continue
		}
		at, ok := whose[objectType]
		if !ok || at >= len(attributes) {
			return wrong
		}
		owner := attributes[at]
		switch {
		case owner == k.a.By.org:
		case objectType == "waivers" && (k.a.Do == "waiver:Approve" || k.a.Do == "waiver:Revoke"):
		case objectType == "hold" && (strings.HasPrefix(k.a.Do, "proposal:") || strings.HasPrefix(k.a.Do, "promotion:") || strings.HasPrefix(k.a.Do, "release:")):
			// By a vote, which the model counts, or in the name of who owes a review.
		default:
			return wrong
		}
	}
	return nil
}

// everything compares what is known at the end: verdicts, roles, registries,
// policies, proposals, tags.
func (w *world) everything() error {
	for _, s := range w.subjects() {
		if err := w.agree(s); err != nil {
			return err
		}
	}
	return nil
}

// subjects are those that something is known of.
func (w *world) subjects() (all []subject) {
	seen := map[subject]bool{}
	add := func(repo string, image int) {
		for _, st := range []string{staging, production} {
			if s := (subject{repo, image, st}); !seen[s] {
				seen[s] = true
				all = append(all, s)
			}
		}
	}
	for s := range w.dirty {
		add(s.repo, s.image)
		for _, c := range corpus()[s.image].children {
			add(s.repo, c)
		}
	}
	slices.SortFunc(all, func(a, b subject) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return all
}

// rightsAgree compares roles, registries, ballots, policies and tags as the
// chaincode lists them with those of the model.
func (w *world) rightsAgree() error {
	list := func(into any, args ...string) error {
		e := w.endorse(reader, w.now, nil, args...)
		if err := json.Unmarshal(e.Payload, into); err != nil {
			return diverge("%v: %s %s", args, e.Message, e.Payload)
		}
		return nil
	}
	var registries []struct{ Namespace, Owner string }
	if err := list(&registries, "registry:List"); err != nil {
		return err
	}
	owners := map[string]string{}
	for _, r := range registries {
		owners[r.Namespace] = r.Owner
	}
	if !maps.Equal(owners, w.owners) {
		return diverge("registries: %v, and %v by the model", owners, w.owners)
	}
	var catalogue struct {
		Policies []struct {
			Name    string
			Version int
		}
	}
	if err := list(&catalogue, "policy:List"); err != nil {
		return err
	}
	policies := catalogue.Policies
	if len(policies) != len(w.policies) {
		return diverge("%d policies, and %d by the model", len(policies), len(w.policies))
	}
	for _, p := range policies {
		if q := w.policies[p.Name]; q == nil || q.version != p.Version {
			return diverge("policy %s is at version %d, and by the model %+v", p.Name, p.Version, q)
		}
	}
	var members struct {
		Grants []struct {
			MSP, Identity, Role string
			Revoked             bool
		}
	}
	if err := list(&members, "member:List"); err != nil {
		return err
	}
	granted := 0
	for _, g := range members.Grants {
		if g.Revoked {
			continue
		}
		granted++
		if _, ok := w.grants[person{g.MSP, g.Identity}][g.Role]; !ok {
			return diverge("%s@%s holds %s, and not by the model", g.Identity, g.MSP, g.Role)
		}
	}
	for _, roles := range w.grants {
		granted -= len(roles)
	}
	if granted != 0 {
		return diverge("%d more grants than by the model", granted)
	}
	for _, p := range w.proposals {
		if p.id == "" {
			continue
		}
		var view struct {
			Proposal struct{ Status string }
			Yes, No  []string
		}
		if err := list(&view, "proposal:Get", p.id); err != nil {
			return err
		}
		yes, no := w.ballots(p)
		slices.Sort(yes)
		slices.Sort(no)
		if view.Proposal.Status != p.status || !slices.Equal(yes, view.Yes) || !slices.Equal(no, view.No) {
			return diverge("proposal of %s %s is %s, yes %v, no %v; by the model %s, %v, %v", p.kind, p.name, view.Proposal.Status, view.Yes, view.No, p.status, yes, no)
		}
	}
	return nil
}
