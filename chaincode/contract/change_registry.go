package contract

import (
	"cmp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// registryChange gives a registry, or a namespace of it, to an organisation:
// one that nobody has, or another's. A host is what images are called by, so
// that whoever was first to name one could speak for somebody else's images.
type registryChange struct {
	Host      provenance.Host `json:"host"`
	Namespace string          `json:"namespace"`
	Owner     string          `json:"owner"`
	Kind      string          `json:"kind"`
}

func parseRegistryChange(body []byte) (change, error) {
	var c registryChange
	if err := strictjson.Unmarshal(body, &c, strictjson.Limits{}); err != nil {
		return nil, err
	}
	h, err := provenance.ParseHost(string(c.Host))
	if err != nil {
		return nil, err
	}
	c.Host = h
	if c.Namespace != "" {
		if _, err := provenance.ParseRepository(c.Namespace); err != nil {
			return nil, err
		}
	} else if provenance.Shared(h) {
		return nil, provenance.Errorf(provenance.Invalid, "%s is used by everybody: name the namespace, as in %s/NAMESPACE", h, h)
	}
	if !registryKind.MatchString(c.Kind) {
		return nil, provenance.Errorf(provenance.Invalid, "registry kind %q: want a connector kind such as distribution", clip(c.Kind))
	}
	return c, checkMSP(c.Owner)
}

func (registryChange) kind() state.ProposalKind { return state.ProposeRegistry }

func (c registryChange) name() string {
	if c.Namespace == "" {
		return string(c.Host)
	}
	return string(c.Host) + "/" + c.Namespace
}

func (c registryChange) body() []byte {
	b, _ := state.Encode(c) // texts only: cannot fail
	return b
}

func (registryChange) base(l law) int { return l.registry.Version }

func (c registryChange) load(tx *Tx, l *law) error {
	_, err := state.Read(tx, state.RegistryKey(c.Host), &l.registry)
	return err
}

func (c registryChange) at(l law) int {
	return slices.IndexFunc(l.registry.Claims, func(o state.Claim) bool { return o.Namespace == c.Namespace })
}

func (c registryChange) check(l law) error {
	if !slices.Contains(l.members.MSPs, c.Owner) {
		return provenance.Errorf(provenance.NotFound, "%s is no member; members own registries", c.Owner)
	}
	at := c.at(l)
	switch {
	case at >= 0 && l.registry.Claims[at].Owner == c.Owner && l.registry.Claims[at].Kind == c.Kind:
		return provenance.Errorf(provenance.Conflict, "%s has %s already", c.Owner, c.name())
	case at < 0 && len(l.registry.Claims) >= state.MaxClaims:
		return provenance.Errorf(provenance.Full, "%s has %d namespaces already", c.Host, state.MaxClaims)
	}
	return nil
}

func (c registryChange) enact(tx *Tx, l law, _ state.Proposal, _ []policy.Person) (int, error) {
	r := state.Registry{Host: c.Host, Claims: slices.Clone(l.registry.Claims), Version: l.registry.Version + 1}
	claim := state.Claim{Namespace: c.Namespace, Owner: c.Owner, Kind: c.Kind, Layout: state.Layout, Act: tx.act()}
	if at := c.at(l); at >= 0 { // what was recorded stays as it is
		claim.Layout = r.Claims[at].Layout
		r.Claims[at] = claim
	} else {
		r.Claims = append(r.Claims, claim)
		slices.SortFunc(r.Claims, func(a, b state.Claim) int { return cmp.Compare(a.Namespace, b.Namespace) })
	}
	return 0, putLaw(tx, l.members, state.RegistryKey(c.Host), r)
}

// liftChange ends an organisation's hold, which it cannot or will not end itself.
type liftChange struct {
	Digest provenance.Digest `json:"digest"`
	MSP    string            `json:"msp"`
}

func parseLiftChange(body []byte) (change, error) {
	var c liftChange
	if err := strictjson.Unmarshal(body, &c, strictjson.Limits{}); err != nil {
		return nil, err
	}
	if c.Digest.IsZero() {
		return nil, provenance.Errorf(provenance.Invalid, "digest: want the image whose quarantine is to be lifted")
	}
	return c, checkMSP(c.MSP)
}

func (liftChange) kind() state.ProposalKind { return state.ProposeLift }

func (c liftChange) name() string { return strings.Join([]string{c.Digest.String(), c.MSP}, " ") }

func (c liftChange) body() []byte {
	b, _ := state.Encode(c) // texts only: cannot fail
	return b
}

// base: every hold is set anew, and a vote is for one; when it was set tells them apart.
func (liftChange) base(l law) int {
	if l.hold == nil || l.hold.Lifted {
		return 0
	}
	return int(l.hold.At.Unix())
}

func (c liftChange) load(tx *Tx, l *law) error {
	var h state.Hold
	found, err := state.Read(tx, state.HoldKey(c.Digest, c.MSP), &h)
	if found {
		l.hold = &h
	}
	return err
}

func (c liftChange) check(l law) error {
	if l.hold == nil || l.hold.Lifted {
		return provenance.Errorf(provenance.NotFound, "%s holds no quarantine of %s", c.MSP, c.Digest.Short())
	}
	return nil
}

func (c liftChange) enact(tx *Tx, l law, p state.Proposal, _ []policy.Person) (int, error) {
	h := *l.hold
	h.Lifted, h.Since, h.Proposal, h.Reason, h.Act = true, l.hold.At, p.ID, "lifted by a vote", tx.act()
	return 0, tx.put(state.HoldKey(c.Digest, c.MSP), h)
}
