package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// EvidenceContract keeps verified statements about images.
type EvidenceContract struct{ contractapi.Contract }

// Submitted says what a piece of evidence came to.
type Submitted struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	Known  bool   `json:"known"`  // it was on the ledger already; nothing was written
	Counts bool   `json:"counts"` // it is the newest of its signer and type
}

// Submit verifies one envelope, sent in the transient field "envelope", against
// a key that a member registered, and records its facts; with format plain the
// caller's own transaction signature vouches for it, and no key is named. typ
// "" takes the type that was signed. location says where the whole document
// is (host/repository@digest), or is empty. What does not verify is BadEvidence.
//
// A gateway may bring what others signed, but it vouches for nothing itself.
// The same envelope by the same signer again is success without a write.
func (EvidenceContract) Submit(tx *Tx, host, repository, digest, typ, format, keyMSP, keyName, location string) (string, error) {
	subject, err := place(tx, host, repository, digest)
	if err != nil {
		return "", err
	}
	if err := checkLocation(location); err != nil {
		return "", err
	}
	envelope, err := tx.transient("envelope")
	if err != nil {
		return "", err
	}
	if len(envelope) > evidence.MaxEnvelope {
		return "", provenance.Errorf(provenance.Invalid, "envelope of %d bytes: at most %d; state the facts over its hash instead", len(envelope), evidence.MaxEnvelope)
	}
	signer, key, err := vouching(tx, format, keyMSP, keyName)
	if err != nil {
		return "", err
	}
	request := evidence.Request{Subject: subject, Format: evidence.Format(format), Type: typ, Envelope: envelope, Now: tx.now}
	result, err := evidence.Verify(request, key)
	if err != nil {
		return "", provenance.Errorf(provenance.BadEvidence, "%s", message(err))
	}
	if err := checkCustom(tx, result); err != nil {
		return "", err
	}
	signer.Identity, signer.Issuer = result.Identity, result.Issuer
	if result.Identity != "" {
		signer.Kind = policy.SignedByCertificate
	}
	return enter(tx, state.Evidence{
		Digest: subject, Type: result.Type, ID: evidence.ID(request.Format, envelope), Format: format, Signer: signer, Facts: result.Facts,
		Document: result.Document, PredicateType: result.PredicateType, MadeAt: result.MadeAt, Location: location, Act: tx.act(),
	})
}

// place reads a place that evidence is about: the push of the image itself, or
// of an index of the same repository that holds it, is on the ledger.
func place(tx *Tx, host, repository, digest string) (provenance.Digest, error) {
	d, err := provenance.ParseDigest(digest)
	if err != nil {
		return d, err
	}
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return d, err
	}
	var p state.Place
	found, err := state.Read(tx, state.PlaceKey(d, h, repo), &p)
	if err != nil || (found && !p.Deleted) {
		return d, err
	}
	var parents state.Parents
	if _, err := state.Read(tx, state.ParentsKey(d, h, repo), &parents); err != nil {
		return d, err
	}
	for _, index := range parents.Indexes {
		var p state.Place
		held, err := state.Read(tx, state.PlaceKey(index, h, repo), &p)
		if err != nil || (held && !p.Deleted && !found) {
			return d, err
		}
	}
	return d, provenance.Errorf(provenance.NotFound, "no push of %s to %s/%s is on the ledger", d.Short(), h, repo)
}

const maxLocation = 512

func checkLocation(location string) error {
	if location == "" {
		return nil
	}
	ref, err := provenance.ParseReference(location)
	if err != nil || ref.Digest.IsZero() || len(location) > maxLocation {
		return provenance.Errorf(provenance.Invalid, "location %q: want host/repository@digest of the document", clip(location))
	}
	return nil
}

// vouching settles who answers for the evidence: a registered key, or the
// caller for a plain document.
func vouching(tx *Tx, format, keyMSP, keyName string) (policy.Signer, *evidence.Key, error) {
	if evidence.Format(format) == evidence.FormatPlain {
		if keyMSP != "" || keyName != "" {
			return policy.Signer{}, nil, provenance.Errorf(provenance.Invalid, "plain evidence is vouched for by its submitter; it names no key")
		}
		who, err := tx.standing()
		if err != nil {
			return policy.Signer{}, nil, err
		}
		roles := slices.DeleteFunc(who.roles, func(r string) bool { return r == string(state.RoleGateway) || r == string(state.RoleRobot) })
		if len(roles) == 0 {
			return policy.Signer{}, nil, provenance.Errorf(provenance.Forbidden, "%s is a gateway: it brings what others signed, and vouches for nothing", tx.caller)
		}
		return policy.Signer{Kind: policy.SignedByPerson, MSP: tx.caller.MSP, Name: tx.caller.Name, Roles: roles}, nil, nil
	}
	if keyMSP == "" || keyName == "" || len(keyMSP) > maxName || len(keyName) > maxName {
		return policy.Signer{}, nil, provenance.Errorf(provenance.Invalid, "evidence of format %q names the key that signed it: an organisation and a key", clip(format))
	}
	var k state.TrustKey
	found, err := state.Read(tx, state.TrustKeyKey(keyMSP, keyName), &k)
	if err != nil {
		return policy.Signer{}, nil, err
	}
	members, err := state.LoadMembers(tx)
	if err != nil {
		return policy.Signer{}, nil, err
	}
	switch {
	case !found:
		return policy.Signer{}, nil, provenance.Errorf(provenance.NotFound, "%s registered no key %q", clip(keyMSP), clip(keyName))
	case !slices.Contains(members.MSPs, k.MSP):
		return policy.Signer{}, nil, provenance.Errorf(provenance.BadEvidence, "key %s of %s: %s is no member", k.Name, k.MSP, k.MSP)
	case k.Withdrawn != nil:
		return policy.Signer{}, nil, provenance.Errorf(provenance.BadEvidence, "key %s of %s was withdrawn: %s", k.Name, k.MSP, k.Withdrawn.Reason)
	}
	// A certificate becomes SignedByCertificate once it is read.
	signer := policy.Signer{Kind: policy.SignedByKey, MSP: k.MSP, Key: k.Name}
	return signer, &evidence.Key{MSP: k.MSP, Name: k.Name, Kind: evidence.KeyKind(k.Kind), PEM: k.PEM, NotBefore: k.NotBefore, NotAfter: k.NotAfter}, nil
}

// checkCustom holds the facts of a custom type to the schema registered for it.
func checkCustom(tx *Tx, result evidence.Result) error {
	name, custom := strings.CutPrefix(result.Type, evidence.CustomPrefix)
	if !custom {
		return nil
	}
	var schema state.Schema
	found, err := state.Read(tx, state.SchemaKey(name), &schema)
	if err != nil {
		return err
	}
	if !found {
		return provenance.Errorf(provenance.NotFound, "no schema is registered for evidence of type %s; an admin adds it with schema:Add", result.Type)
	}
	if err := evidence.ValidateSchema(schema.Schema, result.Facts); err != nil {
		return provenance.Errorf(provenance.BadEvidence, "facts of %s: %s", result.Type, message(err))
	}
	return nil
}

// enter records a verified piece and, where it is the newest of its signer and
// type, puts it into the set that rules see.
func enter(tx *Tx, e state.Evidence) (string, error) {
	setKey := state.EvidenceSetKey(e.Digest)
	var set state.EvidenceSet
	if _, err := state.Read(tx, setKey, &set); err != nil {
		return "", err
	}
	signer := state.SignerID(e.Signer)
	// One envelope may carry the signatures of several keys, and two people may
	// vouch for equal bytes: whoever comes second has an id of its own, so that
	// nobody is kept from counting by somebody who was first.
	first, second := e.ID, signerID(e.ID, signer)
	for _, id := range []string{first, second} {
		var old state.Evidence
		found, err := state.Read(tx, state.EvidenceKey(e.Digest, e.Type, id), &old)
		if err != nil {
			return "", err
		}
		if found && state.SignerID(old.Signer) == signer {
			return answer(Submitted{ID: id, Type: e.Type, Known: true, Counts: inSet(set, e.Type, id)}, nil)
		}
		if e.ID = id; !found {
			break
		}
	}
	entry := state.EvidenceEntry{Type: e.Type, ID: e.ID, Signer: signer, Since: e.Since()}
	at := slices.IndexFunc(set.Entries, func(x state.EvidenceEntry) bool { return x.Type == e.Type && x.Signer == signer })
	counts := at < 0 || newer(entry, set.Entries[at])
	switch {
	case at < 0 && len(set.Entries) >= state.MaxEvidence:
		return "", provenance.Errorf(provenance.Full, "%s has %d pieces of evidence that count, and may have no more", e.Digest.Short(), state.MaxEvidence)
	case at < 0:
		set.Entries = append(set.Entries, entry)
	case counts:
		set.Entries[at] = entry
	}
	if counts {
		if err := tx.put(setKey, set); err != nil {
			return "", err
		}
	}
	return answer(Submitted{ID: e.ID, Type: e.Type, Counts: counts}, tx.put(state.EvidenceKey(e.Digest, e.Type, e.ID), e))
}

func signerID(id, signer string) string {
	sum := sha256.Sum256([]byte(id + "\x00" + signer))
	return hex.EncodeToString(sum[:])
}

// newer is policy's order: by time, then by id.
func newer(a, b state.EvidenceEntry) bool {
	if !a.Since.Equal(b.Since) {
		return a.Since.After(b.Since)
	}
	return a.ID > b.ID
}

func inSet(set state.EvidenceSet, typ, id string) bool {
	return slices.ContainsFunc(set.Entries, func(e state.EvidenceEntry) bool { return e.Type == typ && e.ID == id })
}

// EvidenceView is a piece of evidence and whether it is still in force.
type EvidenceView struct {
	Evidence state.Evidence `json:"evidence"`
	// Counts: the newest of its signer and type, by a member whose key was not
	// withdrawn as compromised before it was recorded.
	Counts bool `json:"counts"`
}

// List returns the evidence about an image, superseded pieces too.
func (EvidenceContract) List(tx *Tx, digest string) (string, error) {
	d, err := provenance.ParseDigest(digest)
	if err != nil {
		return "", err
	}
	var set state.EvidenceSet
	if _, err := state.Read(tx, state.EvidenceSetKey(d), &set); err != nil {
		return "", err
	}
	members, err := state.LoadMembers(tx)
	if err != nil {
		return "", err
	}
	pieces := []state.Evidence{}
	if err := scanInto(tx, &pieces, state.TypeEvidence, d.String()); err != nil {
		return "", err
	}
	list := make([]EvidenceView, len(pieces))
	for i, e := range pieces {
		withdrawn := false
		if e.Signer.Key != "" {
			var k state.TrustKey
			if _, err := state.Read(tx, state.TrustKeyKey(e.Signer.MSP, e.Signer.Key), &k); err != nil {
				return "", err
			}
			withdrawn = e.WithdrawnBy(k.Withdrawn)
		}
		list[i] = EvidenceView{Evidence: e, Counts: inSet(set, e.Type, e.ID) && slices.Contains(members.MSPs, e.Signer.MSP) && !withdrawn}
	}
	return answer(list, nil)
}
