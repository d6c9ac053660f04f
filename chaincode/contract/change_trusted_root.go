package contract

import (
	"encoding/json"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// trustChange puts a version of a root that the members share in force, or withdraws
// the root: who may say whom a certificate names is everybody's.
type trustChange struct {
	change state.TrustChange
	root   *sigstore.TrustedRoot // nil for a withdrawal
}

// maxTrustChange bounds what is proposed, in bytes: a root and what is said with it.
const maxTrustChange = sigstore.MaxTrustedRoot + 8<<10

func parseTrustChange(text []byte) (change, error) {
	var said struct {
		Name     string          `json:"name"`
		Origin   string          `json:"origin"`
		Root     json.RawMessage `json:"root"`
		Withdraw *struct {
			Reason           string `json:"reason"`
			CompromisedSince string `json:"compromisedSince"`
		} `json:"withdraw"`
	}
	if err := strictjson.Unmarshal(text, &said, strictjson.Limits{Bytes: maxTrustChange, Depth: 16}); err != nil {
		return change{}, err
	}
	c := trustChange{change: state.TrustChange{Name: said.Name, Origin: said.Origin}}
	switch w := said.Withdraw; {
	case (w == nil) == (len(said.Root) == 0):
		return change{}, provenance.Errorf(provenance.Invalid, "a change of a shared root has the text of one, or withdraws it")
	case w != nil:
		if !rootName.MatchString(said.Name) {
			return change{}, badRootName(said.Name)
		}
		if said.Origin != "" {
			return change{}, provenance.Errorf(provenance.Invalid, "origin: a withdrawal has no text")
		}
		if err := needReason("withdrawing a root", w.Reason); err != nil {
			return change{}, err
		}
		since, err := parseTime("compromisedSince", w.CompromisedSince)
		if err != nil {
			return change{}, err
		}
		c.change.Withdraw = &state.TrustWithdrawal{Reason: w.Reason, CompromisedSince: since}
	default:
		var err error
		if c.root, err = parseRoot(said.Name, said.Root, said.Origin); err != nil {
			return change{}, err
		}
		// As it stands in a record: what is written must be read again, or no proposal could be listed.
		if c.change.Root, err = json.Marshal(json.RawMessage(c.root.Canonical())); err != nil || len(c.change.Root) > sigstore.MaxTrustedRoot {
			return change{}, provenance.Errorf(provenance.Invalid, "trusted root: %d bytes as it is written down: at most %d", len(c.change.Root), sigstore.MaxTrustedRoot)
		}
	}
	body, err := state.Encode(c.change)
	return change{kind: state.ProposeTrust, name: said.Name, body: body, effect: c}, err
}

func (trustChange) base(g governance) int {
	if g.root == nil {
		return 0
	}
	return g.root.Changes
}

func (c trustChange) load(tx *Tx, g *governance) (err error) {
	g.now = tx.now
	if g.root, err = loadRoot(tx, "", c.change.Name); err != nil {
		return err
	}
	if g.roots, err = loadRootList(tx, ""); err != nil {
		return err
	}
	for _, name := range g.roots.Names {
		if name == c.change.Name {
			continue
		}
		r, err := loadRoot(tx, "", name)
		if err != nil {
			return err
		}
		if r == nil || r.Withdrawn != nil {
			continue
		}
		other, err := loadRootText(tx, r)
		if err != nil {
			return err
		}
		g.others = append(g.others, sharedRoot{r.String(), other})
	}
	return nil
}

// sharedRoot is a root that members share, as it is in force.
type sharedRoot struct {
	name string
	root *sigstore.TrustedRoot
}

// loadRootText reads the text of a root that is in force.
func loadRootText(tx *Tx, r *state.TrustedRoot) (*sigstore.TrustedRoot, error) {
	var v state.RootVersion
	found, err := state.Read(tx, state.RootVersionKey(r.MSP, r.Name, r.Version), &v)
	if err != nil {
		return nil, err
	}
	if !found || v.Hash != r.Hash {
		return nil, provenance.Errorf(provenance.Internal, "%s version %d is in force but not on the ledger", r, r.Version)
	}
	root, err := sigstore.ParseTrustedRoot([]byte(v.Text))
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "%s on the ledger", r)
	}
	return root, nil
}

func (c trustChange) check(g governance) error {
	if w := c.change.Withdraw; w != nil {
		switch {
		case g.root == nil:
			return provenance.Errorf(provenance.NotFound, "%s is not on the ledger", state.RootName("", c.change.Name))
		case w.CompromisedSince.After(g.now):
			return provenance.Errorf(provenance.Invalid, "compromisedSince has not come yet")
		case !g.root.Withdrawn.Earlier(state.Withdrawal{CompromisedSince: w.CompromisedSince}):
			return provenance.Errorf(provenance.Conflict, "%s was withdrawn already", g.root)
		}
		return nil
	}
	if err := checkNewRoot(g.root, g.roots, "", c.change.Name); err != nil {
		return err
	}
	if g.root != nil && g.root.Hash == hashOf(c.root.Canonical()) {
		return provenance.Errorf(provenance.Conflict, "%s is in force with that very text", g.root)
	}
	// Of two roots that verify one signature, whoever hands it in would say which one it is.
	for _, other := range g.others {
		if name, shared := c.root.SharesAuthority(other.root); shared {
			return provenance.Errorf(provenance.Conflict, "the certificate authority %q is one of %s: a signature is verified by one shared root", clip(name), other.name)
		}
	}
	return nil
}

func (c trustChange) enact(tx *Tx, g governance, _ state.Proposal, voters []policy.Person) (int, error) {
	put := func(key string, record any) error { return putGoverned(tx, g.members, key, record) }
	if w := c.change.Withdraw; w != nil {
		r := *g.root
		r.Withdrawn = &state.Withdrawal{Reason: w.Reason, CompromisedSince: w.CompromisedSince, Act: tx.act()}
		r.Changes++
		return 0, put(state.TrustedRootKey("", r.Name), r)
	}
	v := state.RootVersion{Name: c.change.Name, Text: string(c.root.Canonical()), Origin: c.change.Origin, Voters: slices.Clone(voters), Act: tx.act()}
	version := 1
	if g.root != nil {
		version = g.root.Version + 1
	}
	_, err := putRoot(put, g.root, g.roots, c.root, v)
	return version, err
}
