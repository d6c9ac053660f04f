package contract

import (
	"cmp"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// registryChange gives a registry, or a namespace of it, to an organisation:
// one that nobody has, or another's. A host is what images are called by, so
// that whoever was first to name one could speak for somebody else's images.
type registryChange state.RegistryChange

func parseRegistryChange(text []byte) (change, error) {
	var c registryChange
	if err := strictjson.Unmarshal(text, &c, strictjson.Limits{}); err != nil {
		return change{}, err
	}
	h, err := provenance.ParseHost(string(c.Host))
	if err != nil {
		return change{}, err
	}
	c.Host = h
	if c.Namespace != "" {
		if _, err := provenance.ParseRepository(c.Namespace); err != nil {
			return change{}, err
		}
	} else if provenance.Shared(h) {
		return change{}, provenance.Errorf(provenance.Invalid, "%s is used by everybody: name the namespace, as in %s/NAMESPACE", h, h)
	}
	if !registryKind.MatchString(c.Kind) {
		return change{}, provenance.Errorf(provenance.Invalid, "registry kind %q: want a connector kind such as distribution", clip(c.Kind))
	}
	if err := checkMSP(c.Owner); err != nil {
		return change{}, err
	}
	body, err := state.Encode(c)
	return change{kind: state.ProposeRegistry, name: c.name(), body: body, effect: c}, err
}

func (c registryChange) name() string {
	if c.Namespace == "" {
		return string(c.Host)
	}
	return string(c.Host) + "/" + c.Namespace
}

func (registryChange) base(g governance) int { return g.registry.Version }

func (c registryChange) load(tx *Tx, g *governance) error {
	_, err := state.Read(tx, state.RegistryKey(c.Host), &g.registry)
	return err
}

func (c registryChange) at(g governance) int {
	return slices.IndexFunc(g.registry.Claims, func(o state.Claim) bool { return o.Namespace == c.Namespace })
}

func (c registryChange) check(g governance) error {
	if !slices.Contains(g.members.MSPs, c.Owner) {
		return provenance.Errorf(provenance.NotFound, "%s is no member; members own registries", c.Owner)
	}
	at := c.at(g)
	switch {
	case at >= 0 && g.registry.Claims[at].Owner == c.Owner && g.registry.Claims[at].Kind == c.Kind:
		return provenance.Errorf(provenance.Conflict, "%s has %s already", c.Owner, c.name())
	case at < 0 && len(g.registry.Claims) >= state.MaxClaims:
		return provenance.Errorf(provenance.Full, "%s has %d namespaces already", c.Host, state.MaxClaims)
	}
	return nil
}

func (c registryChange) enact(tx *Tx, g governance, _ state.Proposal, _ []policy.Person) (int, error) {
	r := state.Registry{Host: c.Host, Claims: slices.Clone(g.registry.Claims), Version: g.registry.Version + 1}
	claim := state.Claim{Namespace: c.Namespace, Owner: c.Owner, Kind: c.Kind, Layout: state.Layout, Act: tx.act()}
	if at := c.at(g); at >= 0 { // what was recorded stays as it is
		claim.Layout = r.Claims[at].Layout
		r.Claims[at] = claim
	} else {
		r.Claims = append(r.Claims, claim)
		slices.SortFunc(r.Claims, func(a, b state.Claim) int { return cmp.Compare(a.Namespace, b.Namespace) })
	}
	return 0, putGoverned(tx, g.members, state.RegistryKey(c.Host), r)
}

// liftChange ends an organisation's hold, which it cannot or will not end itself.
type liftChange struct {
	Digest provenance.Digest `json:"digest"`
	MSP    string            `json:"msp"`
}

func parseLiftChange(text []byte) (change, error) {
	var c liftChange
	if err := strictjson.Unmarshal(text, &c, strictjson.Limits{}); err != nil {
		return change{}, err
	}
	if c.Digest.IsZero() {
		return change{}, provenance.Errorf(provenance.Invalid, "digest: want the image whose quarantine is to be lifted")
	}
	if err := checkMSP(c.MSP); err != nil {
		return change{}, err
	}
	body, err := state.Encode(c)
	return change{kind: state.ProposeLift, name: c.Digest.String() + " " + c.MSP, body: body, effect: c}, err
}

// base: every hold is set anew, and a vote is for one; when it was set tells them apart.
func (liftChange) base(g governance) int {
	if g.hold == nil || g.hold.Lifted {
		return 0
	}
	return int(g.hold.At.Unix())
}

func (c liftChange) load(tx *Tx, g *governance) error {
	var h state.Hold
	found, err := state.Read(tx, state.HoldKey(c.Digest, c.MSP), &h)
	if found {
		g.hold = &h
	}
	return err
}

func (c liftChange) check(g governance) error {
	if g.hold == nil || g.hold.Lifted {
		return provenance.Errorf(provenance.NotFound, "%s holds no quarantine of %s", c.MSP, c.Digest.Short())
	}
	return nil
}

func (c liftChange) enact(tx *Tx, g governance, p state.Proposal, _ []policy.Person) (int, error) {
	h := *g.hold
	h.Lifted, h.Since, h.Proposal, h.Reason, h.Act = true, g.hold.At, p.ID, "lifted by a vote", tx.act()
	return 0, tx.put(state.HoldKey(c.Digest, c.MSP), h)
}
