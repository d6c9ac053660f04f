package contract

import (
	"maps"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
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
// "" takes the type that was signed; custom/MSP/NAME names the schema of an
// organisation, custom/NAME that of whoever vouches. location says where the whole document
// is (host/repository@digest), or is empty. What does not verify is BadEvidence.
//
// A gateway may bring what others signed, but it vouches for nothing itself.
// The same envelope by the same signer again is success without a write, and so
// is the same signature in another envelope: an old word does not become a new one.
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
	signer, key, version, err := signerOf(tx, format, keyMSP, keyName)
	if err != nil {
		return "", err
	}
	schemas, signed := cutCustom(typ)
	request := evidence.Request{Subject: subject, Format: evidence.Format(format), Type: signed, Envelope: envelope, Now: tx.now}
	result, err := evidence.Verify(request, key)
	if err != nil {
		return "", provenance.Errorf(provenance.BadEvidence, "%s", message(err))
	}
	if schemas == "" {
		schemas = signer.MSP
	}
	if schemas == "" && strings.HasPrefix(result.Type, evidence.CustomPrefix) {
		return "", provenance.Errorf(provenance.Invalid, "%s by a signer of no organisation: name whose schema it has, as custom/MSP/NAME", result.Type)
	}
	if result.Type, err = checkCustom(tx, schemas, result); err != nil {
		return "", err
	}
	if err := provenance.CheckText("identity of the signer", result.Identity, maxIdentity); err != nil {
		return "", err
	}
	if err := provenance.CheckText("issuer of the signer", result.Issuer, maxIdentity); err != nil {
		return "", err
	}
	if err := checkClaims(result.Claims); err != nil {
		return "", err
	}
	signer.Identity, signer.Issuer = result.Identity, result.Issuer
	if result.Identity != "" {
		signer.Kind = policy.SignedByCertificate
	}
	// Anybody can sign below a public root; what rules ask for has room of its own.
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return "", err
	}
	p, _, err := state.LoadPolicy(tx, h, repo)
	if err != nil {
		return "", err
	}
	return storeEvidence(tx, !p.Accepts(result.Type, signer), result.Signature, state.Evidence{
		Digest: subject, Type: result.Type, ID: evidence.ID(request.Format, envelope), Format: format, Signer: signer, Facts: result.Facts,
		Document: result.Document, PredicateType: result.PredicateType, MadeAt: result.MadeAt, Location: location, Act: tx.act(),
		RootVersion: version, Claims: result.Claims, Uses: usesOf(result.Uses),
	})
}

// checkClaims bounds what a certificate says: every verdict about the image reads it.
func checkClaims(claims map[string]string) error {
	size := 0
	for _, name := range slices.Sorted(maps.Keys(claims)) { // which one is named must not depend on the peer
		if err := provenance.CheckText("claim "+name, claims[name], maxClaims); err != nil {
			return provenance.Errorf(provenance.BadEvidence, "certificate: %s", message(err))
		}
		size += len(name) + len(claims[name])
	}
	if size > maxClaims {
		return provenance.Errorf(provenance.BadEvidence, "certificate: its claims have %d bytes: at most %d", size, maxClaims)
	}
	return nil
}

func usesOf(uses []sigstore.Use) []state.Use {
	var out []state.Use
	for _, u := range uses {
		out = append(out, state.Use{ID: u.ID, At: u.At.UTC()})
	}
	return out
}

// place reads a place that evidence is about: the push of the image itself, which
// is not deleted, or of any index of the same repository that lists it, is on the
// ledger. What became of that index since is all the same: of many only some are
// known, and whoever may push says which.
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
	// The list is of some indexes only, which may be gone: that it is there says enough.
	var parents state.Parents
	listed, err := state.Read(tx, state.ParentsKey(d, h, repo), &parents)
	if err != nil || listed && !found {
		return d, err
	}
	return d, provenance.Errorf(provenance.NotFound, "no push of %s to %s/%s is on the ledger", d.Short(), h, repo)
}

const (
	maxLocation = 512
	maxIdentity = 2048 // bytes of a certificate's identity, and of its issuer
	maxClaims   = 8192 // of all that it says besides
)

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

// signerOf tells who answers for the evidence: a registered key, a trusted root in
// its version, or the caller for a plain document. With keyMSP "" the root is one
// that the members share.
func signerOf(tx *Tx, format, keyMSP, keyName string) (policy.Signer, *evidence.Key, int, error) {
	no := func(err error) (policy.Signer, *evidence.Key, int, error) { return policy.Signer{}, nil, 0, err }
	if evidence.Format(format) == evidence.FormatPlain {
		if keyMSP != "" || keyName != "" {
			return no(provenance.Errorf(provenance.Invalid, "plain evidence is vouched for by its submitter; it names no key"))
		}
		who, err := tx.callerRoles()
		if err != nil {
			return no(err)
		}
		roles := slices.DeleteFunc(who.roles, func(r string) bool { return r == string(state.RoleGateway) || r == string(state.RoleRobot) })
		if len(roles) == 0 {
			return no(provenance.Errorf(provenance.Forbidden, "%s is a gateway: it brings what others signed, and vouches for nothing", tx.caller))
		}
		return policy.Signer{Kind: policy.SignedByPerson, MSP: tx.caller.MSP, Name: tx.caller.Name, Roles: roles}, nil, 0, nil
	}
	if keyName == "" || len(keyMSP) > maxName || len(keyName) > maxName {
		return no(provenance.Errorf(provenance.Invalid, "evidence of format %q names the key that signed it: an organisation and a key, or a shared root alone", clip(format)))
	}
	root, err := loadRoot(tx, keyMSP, keyName)
	if err != nil {
		return no(err)
	}
	if root != nil || keyMSP == "" {
		return rootSigner(tx, root, keyMSP, keyName)
	}
	var k state.TrustKey
	found, err := state.Read(tx, state.TrustKeyKey(keyMSP, keyName), &k)
	if err != nil {
		return no(err)
	}
	members, err := state.LoadMembers(tx)
	if err != nil {
		return no(err)
	}
	switch {
	case !found:
		return no(provenance.Errorf(provenance.NotFound, "%s registered no key %q", clip(keyMSP), clip(keyName)))
	case !slices.Contains(members.MSPs, k.MSP):
		return no(provenance.Errorf(provenance.BadEvidence, "key %s of %s: %s is no member", k.Name, k.MSP, k.MSP))
	case k.Withdrawn != nil:
		return no(provenance.Errorf(provenance.BadEvidence, "key %s of %s was withdrawn: %s", k.Name, k.MSP, k.Withdrawn.Reason))
	}
	// A certificate becomes SignedByCertificate once it is read.
	signer := policy.Signer{Kind: policy.SignedByKey, MSP: k.MSP, Key: k.Name}
	return signer, &evidence.Key{MSP: k.MSP, Name: k.Name, Kind: evidence.KeyKind(k.Kind), PEM: k.PEM, NotBefore: k.NotBefore, NotAfter: k.NotAfter}, 0, nil
}

// rootSigner is signerOf for a trusted root, nil where there is none of that name.
func rootSigner(tx *Tx, r *state.TrustedRoot, msp, name string) (policy.Signer, *evidence.Key, int, error) {
	no := func(code provenance.Code, format string, args ...any) (policy.Signer, *evidence.Key, int, error) {
		return policy.Signer{}, nil, 0, provenance.Errorf(code, format, args...)
	}
	members, err := state.LoadMembers(tx)
	if err != nil {
		return policy.Signer{}, nil, 0, err
	}
	switch {
	case r == nil:
		return no(provenance.NotFound, "the members share no root %q", clip(name))
	case msp != "" && !slices.Contains(members.MSPs, msp):
		return no(provenance.BadEvidence, "%s: %s is no member", r, msp)
	case r.Withdrawn != nil:
		return no(provenance.BadEvidence, "%s was withdrawn: %s", r, r.Withdrawn.Reason)
	}
	var v state.RootVersion
	found, err := state.Read(tx, state.RootVersionKey(msp, name, r.Version), &v)
	if err != nil {
		return policy.Signer{}, nil, 0, err
	}
	if !found || v.Hash != r.Hash {
		return no(provenance.Internal, "%s version %d is in force but not on the ledger", r, r.Version)
	}
	signer := policy.Signer{Kind: policy.SignedByCertificate, MSP: msp, Key: name}
	return signer, &evidence.Key{MSP: msp, Name: name, Kind: evidence.TrustedRoot, Root: v.Text}, r.Version, nil
}

// cutCustom takes the organisation out of custom/MSP/NAME: what is signed names none.
func cutCustom(typ string) (msp, signed string) {
	rest, custom := strings.CutPrefix(typ, evidence.CustomPrefix)
	msp, name, qualified := strings.Cut(rest, "/")
	if !custom || !qualified {
		return "", typ
	}
	return msp, evidence.CustomPrefix + name
}

// checkCustom holds the facts of a custom type to the schema that an
// organisation registered for it, and returns the type with its name.
func checkCustom(tx *Tx, msp string, result evidence.Result) (string, error) {
	name, custom := strings.CutPrefix(result.Type, evidence.CustomPrefix)
	if !custom {
		return result.Type, nil
	}
	if err := checkMSP(msp); err != nil {
		return "", err
	}
	typ := evidence.CustomPrefix + msp + "/" + name
	var schema state.Schema
	found, err := state.Read(tx, state.SchemaKey(msp, name), &schema)
	if err != nil {
		return "", err
	}
	if !found {
		return "", provenance.Errorf(provenance.NotFound, "no schema is registered for evidence of type %s; an admin of %s adds it with schema:Add", typ, msp)
	}
	if err := evidence.ValidateSchema(schema.Schema, result.Facts); err != nil {
		return "", provenance.Errorf(provenance.BadEvidence, "facts of %s: %s", typ, message(err))
	}
	return typ, nil
}

// Withdraw takes back a document that somebody of the caller's organisation
// vouched for: its maker may, and any admin. It stays where it is, marked, and no
// older word of its maker comes back by it.
func (EvidenceContract) Withdraw(tx *Tx, digest, typ, id, reason string) (string, error) {
	if err := needReason("withdrawing evidence", reason); err != nil {
		return "", err
	}
	d, err := provenance.ParseDigest(digest)
	if err != nil {
		return "", err
	}
	key := state.EvidenceKey(d, typ, id)
	var e state.Evidence
	found, err := state.Read(tx, key, &e)
	switch {
	case err != nil:
		return "", err
	case !found:
		return "", provenance.Errorf(provenance.NotFound, "no evidence %s of type %s about %s is on the ledger", clip(id), clip(typ), d.Short())
	case e.Signer.Kind != policy.SignedByPerson:
		return "", provenance.Errorf(provenance.Forbidden, "a key signed it: key:Withdraw ends what the key says, trust:Withdraw or a vote what a root does")
	case e.Signer.MSP != tx.caller.MSP:
		return "", provenance.Errorf(provenance.Forbidden, "%s@%s vouched for it; %s takes it back", e.Signer.Name, e.Signer.MSP, e.Signer.MSP)
	case e.Withdrawn != nil:
		return answer(e, nil)
	}
	if e.Signer.Name != tx.caller.Name {
		admin, err := tx.hasRole([]state.Role{state.RoleAdmin})
		if err != nil {
			return "", err
		}
		if !admin {
			return "", provenance.Errorf(provenance.Forbidden, "%s vouched for it; %s or an admin of %s takes it back", e.Signer.Name, e.Signer.Name, e.Signer.MSP)
		}
	}
	e.Withdrawn = &state.Withdrawal{Reason: reason, Act: tx.act()}
	return answer(e, tx.put(key, e))
}

// EvidenceView is a piece of evidence and whether it is still in force.
type EvidenceView struct {
	Evidence state.Evidence `json:"evidence"`
	// Counts: the newest of its signer and type, by a member whose key was not
	// withdrawn as compromised before it was recorded, or by authorities that its root
	// trusts for that moment still.
	Counts bool `json:"counts"`
}

// List returns the evidence about an image, superseded pieces too.
func (EvidenceContract) List(tx *Tx, digest string) (string, error) {
	d, err := provenance.ParseDigest(digest)
	if err != nil {
		return "", err
	}
	members, err := state.LoadMembers(tx)
	if err != nil {
		return "", err
	}
	sets, err := state.LoadEvidenceSets(tx, []provenance.Digest{d}, members.MSPs)
	if err != nil {
		return "", err
	}
	pieces := []state.Evidence{}
	if err := scanInto(tx, &pieces, state.TypeEvidence, d.String()); err != nil {
		return "", err
	}
	verified := make([]*state.Evidence, len(pieces))
	for i := range pieces {
		verified[i] = &pieces[i]
	}
	roots, err := state.LoadRoots(tx, verified)
	if err != nil {
		return "", err
	}
	list := make([]EvidenceView, len(pieces))
	for i, e := range pieces {
		withdrawn := e.Withdrawn != nil
		if e.RootVersion > 0 {
			_, why := roots[state.TrustedRootKey(e.Signer.MSP, e.Signer.Key)].Reaches(&e)
			withdrawn = withdrawn || why != ""
		} else if e.Signer.Key != "" {
			var k state.TrustKey
			if _, err := state.Read(tx, state.TrustKeyKey(e.Signer.MSP, e.Signer.Key), &k); err != nil {
				return "", err
			}
			withdrawn = withdrawn || e.WithdrawnBy(k.Withdrawn)
		}
		if e.Signer.Kind == policy.SignedByPerson {
			taken, err := state.LoadTaken(tx, []policy.Person{{MSP: e.Signer.MSP, Name: e.Signer.Name}})
			if err != nil {
				return "", err
			}
			withdrawn = withdrawn || taken[0].Reaches(e.At)
		}
		listed := newestOf(sets, e.Type, state.SignerID(e.Signer)) == e.ID
		list[i] = EvidenceView{Evidence: e, Counts: listed && e.Answered(members.MSPs) && !withdrawn}
	}
	return answer(list, nil)
}
