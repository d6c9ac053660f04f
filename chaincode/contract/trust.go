package contract

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// TrustContract keeps the trusted roots of keyless signatures that organisations
// answer for, and shows those that the members share: these change by vote alone, see
// ProposalContract.
type TrustContract struct{ contractapi.Contract }

const maxOrigin = 512 // bytes of where a text came from

var rootName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// RootView is a trusted root and one version of its text.
type RootView struct {
	Root    state.TrustedRoot `json:"root"`
	Version state.RootVersion `json:"version"`
}

// Add puts a trusted_root.json of the caller's organisation in force: a first text, or
// the next version of one. What it no longer trusts stops vouching for what is
// recorded; what it trusts again counts again. origin says where the text came from.
// The text in force again is success without a write. A name is a key or a root for
// ever, and one that was withdrawn comes back as neither.
func (TrustContract) Add(tx *Tx, name, text, origin string) (string, error) {
	root, err := parseRoot(name, []byte(text), origin)
	if err != nil {
		return "", err
	}
	var key state.TrustKey
	taken, err := state.Read(tx, state.TrustKeyKey(tx.caller.MSP, name), &key)
	if err != nil {
		return "", err
	}
	if taken {
		return "", provenance.Errorf(provenance.Conflict, "%s has a key %q: a root needs a name of its own", tx.caller.MSP, name)
	}
	old, err := loadRoot(tx, tx.caller.MSP, name)
	if err != nil {
		return "", err
	}
	list, err := loadRootList(tx, tx.caller.MSP)
	if err != nil {
		return "", err
	}
	if err := checkNewRoot(old, list, tx.caller.MSP, name); err != nil {
		return "", err
	}
	if old != nil && old.Hash == hashOf(root.Canonical()) {
		return answer(*old, nil)
	}
	v := state.RootVersion{MSP: tx.caller.MSP, Name: name, Text: string(root.Canonical()), Origin: origin, Act: tx.act()}
	return putRoot(tx.put, old, list, root, v)
}

// Withdraw ends a root of the caller's organisation: nothing is verified by it from
// then on. compromisedSince is RFC 3339 or ""; what was recorded since then counts no
// more either. Withdrawing again may only name an earlier time.
func (TrustContract) Withdraw(tx *Tx, name, reason, compromisedSince string) (string, error) {
	if err := needReason("withdrawing a root", reason); err != nil {
		return "", err
	}
	since, err := parseTime("compromisedSince", compromisedSince)
	if err != nil {
		return "", err
	}
	if since.After(tx.now) {
		return "", provenance.Errorf(provenance.Invalid, "compromisedSince %s has not come yet", compromisedSince)
	}
	r, err := loadRoot(tx, tx.caller.MSP, name)
	if err != nil {
		return "", err
	}
	if r == nil {
		return "", provenance.Errorf(provenance.NotFound, "%s has no root %q; a shared one is withdrawn by a vote", tx.caller.MSP, clip(name))
	}
	w := state.Withdrawal{Reason: reason, CompromisedSince: since, Act: tx.act()}
	if !r.Withdrawn.Earlier(w) {
		return answer(*r, nil)
	}
	r.Withdrawn, r.Changes = &w, r.Changes+1
	return answer(*r, tx.put(state.TrustedRootKey(r.MSP, r.Name), *r))
}

// List returns every root as it is in force, shared ones first, without its text.
func (TrustContract) List(tx *Tx) (string, error) {
	list := []state.TrustedRoot{}
	err := scanInto(tx, &list, state.TypeTrust)
	slices.SortFunc(list, func(a, b state.TrustedRoot) int {
		return cmp.Or(cmp.Compare(a.MSP, b.MSP), cmp.Compare(a.Name, b.Name))
	})
	return answer(list, err)
}

// Show returns a root, of an organisation or, with msp "", a shared one, and the text
// of a version; version "0" is the one in force.
func (TrustContract) Show(tx *Tx, msp, name, version string) (string, error) {
	if msp != "" {
		if err := checkMSP(msp); err != nil {
			return "", err
		}
	}
	if !rootName.MatchString(name) {
		return "", badRootName(name)
	}
	n, err := strconv.Atoi(version)
	if err != nil || n < 0 || n > state.MaxRootVersions {
		return "", provenance.Errorf(provenance.Invalid, "version %q of a root: want a number, 0 for the one in force", clip(version))
	}
	r, err := loadRoot(tx, msp, name)
	if err != nil {
		return "", err
	}
	if r == nil {
		return "", provenance.Errorf(provenance.NotFound, "%s is not on the ledger", state.RootName(msp, name))
	}
	if n == 0 {
		n = r.Version
	}
	view := RootView{Root: *r}
	found, err := state.Read(tx, state.RootVersionKey(msp, name, n), &view.Version)
	if err == nil && !found {
		err = provenance.Errorf(provenance.NotFound, "%s has no version %d", r, n)
	}
	return answer(view, err)
}

func badRootName(name string) error {
	return provenance.Errorf(provenance.Invalid, "name of a root %q: want at most 63 lower-case letters, digits and '-'", clip(name))
}

// parseRoot reads what is to be trusted under a name.
func parseRoot(name string, text []byte, origin string) (*sigstore.TrustedRoot, error) {
	if !rootName.MatchString(name) {
		return nil, badRootName(name)
	}
	if err := provenance.CheckText("origin", origin, maxOrigin); err != nil {
		return nil, err
	}
	root, err := sigstore.ParseTrustedRoot(text)
	if err != nil {
		return nil, err
	}
	tree, err := strictjson.Decode(root.Canonical(), strictjson.Limits{})
	if err != nil {
		return nil, err
	}
	return root, checkTexts("trusted root", tree)
}

// loadRoot reads a root, nil where there is none.
func loadRoot(tx *Tx, msp, name string) (*state.TrustedRoot, error) {
	if len(name) > maxName {
		return nil, nil
	}
	var r state.TrustedRoot
	found, err := state.Read(tx, state.TrustedRootKey(msp, name), &r)
	if err != nil || !found {
		return nil, err
	}
	return &r, nil
}

// loadRootList reads the names of an organisation's roots, or of the shared ones.
func loadRootList(tx *Tx, msp string) (list state.RootList, err error) {
	_, err = state.Read(tx, state.RootListKey(msp), &list)
	return list, err
}

// checkNewRoot tells whether a root of that name may have another version.
func checkNewRoot(old *state.TrustedRoot, list state.RootList, msp, name string) error {
	switch {
	case old == nil && len(list.Names) >= state.MaxRoots:
		return provenance.Errorf(provenance.Full, "there are %d roots like %s, and may be no more", len(list.Names), state.RootName(msp, name))
	case old != nil && old.Withdrawn != nil:
		return provenance.Errorf(provenance.Conflict, "%s was withdrawn; a new root needs a new name", old)
	case old != nil && old.Version >= state.MaxRootVersions:
		return provenance.Errorf(provenance.Full, "%s has %d versions, and may have no more: begin one of another name", old, old.Version)
	}
	return nil
}

// putRoot writes the next version of a root by put, and what names it.
func putRoot(put func(key string, record any) error, old *state.TrustedRoot, list state.RootList, root *sigstore.TrustedRoot, v state.RootVersion) (string, error) {
	r := state.TrustedRoot{MSP: v.MSP, Name: v.Name}
	if old != nil {
		r = *old
	}
	v.Version, v.Hash = r.Version+1, hashOf([]byte(v.Text))
	if err := r.Advance(v, anchorsOf(root)); err != nil {
		return "", err
	}
	if old == nil {
		list.Names = append(slices.Clone(list.Names), v.Name)
		slices.Sort(list.Names)
		if err := put(state.RootListKey(v.MSP), list); err != nil {
			return "", err
		}
	}
	if err := put(state.RootVersionKey(v.MSP, v.Name, v.Version), v); err != nil {
		return "", err
	}
	return answer(r, put(state.TrustedRootKey(v.MSP, v.Name), r))
}

// anchorsOf are the authorities of a root as records.
func anchorsOf(root *sigstore.TrustedRoot) []state.Anchor {
	var anchors []state.Anchor
	for _, a := range root.Anchors() {
		anchors = append(anchors, state.Anchor{ID: a.ID, Kind: string(a.Kind), Name: a.Name, Windows: []state.Window{{From: a.From.UTC(), Until: a.Until.UTC()}}})
	}
	return anchors
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
