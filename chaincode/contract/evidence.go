package contract

import (
	"encoding/json"

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
// a key that a member registered, and records its facts, the envelope's hash and the
// document's. The envelope itself is seen by those who endorse, and kept by nobody.
// With "true" in the transient field "private" what an SBOM or a scan lists is left
// out of its facts: the signer's organisation may ask for that, and the registry's
// owner, by being first to bring the piece; with format plain the
// caller's own transaction signature vouches for it, and no key is named. typ
// "" takes the type that was signed; custom/MSP/NAME names the schema of an
// organisation, custom/NAME that of whoever vouches. location says where the whole document
// is (host/repository@digest), or is empty. What does not verify is BadEvidence.
//
// A gateway may bring what others signed, but it vouches for nothing itself.
// The same envelope by the same signer again is success without a write, and so
// is the same signature in another envelope: an old word does not become a new one.
func (EvidenceContract) Submit(tx *Tx, host, repository, digest, typ, format, keyMSP, keyName, location string) (string, error) {
	envelope, err := tx.transient("envelope")
	if err != nil {
		return "", err
	}
	private, err := tx.asked("private")
	if err != nil {
		return "", err
	}
	e, err := examine(tx, evidence.Piece{
		Host: host, Repository: repository, Digest: digest, Type: typ, Format: format, MSP: keyMSP, Key: keyName, Location: location, Private: private, Envelope: envelope,
	})
	if err != nil {
		return "", err
	}
	return answer(storeEvidence(tx, e))
}

// examined is a piece of evidence that was verified.
type examined struct {
	state.Evidence
	// signature names what was verified, "" for a document that a person vouches for:
	// one that came before is the word that it was then, however it is wrapped now.
	signature string
	unruled   bool // no rule of the repository's policy accepts it
}

// examine verifies a piece. It writes nothing.
func examine(tx *Tx, piece evidence.Piece) (examined, error) {
	no := func(err error) (examined, error) { return examined{}, err }
	subject, err := place(tx, piece.Host, piece.Repository, piece.Digest)
	if err != nil {
		return no(err)
	}
	if err := checkLocation(piece.Location); err != nil {
		return no(err)
	}
	format := evidence.Format(piece.Format)
	if most := format.MaxEnvelope(); len(piece.Envelope) > most {
		return no(provenance.Errorf(provenance.Invalid, "envelope of %d bytes: at most %d; state the facts over its hash instead", len(piece.Envelope), most))
	}
	signer, key, version, err := tx.judged.signerOf(tx, piece.Format, piece.MSP, piece.Key)
	if err != nil {
		return no(err)
	}
	if err := mayHide(tx, piece, signer); err != nil {
		return no(err)
	}
	schemas, signed := evidence.CutCustom(piece.Type)
	request := evidence.Request{Subject: subject, Format: format, Type: signed, Envelope: piece.Envelope, Now: tx.now}
	if schemas == "" {
		schemas = signer.MSP
	}
	var asked error // what the ledger could not answer
	request.Known = func() (known []provenance.Digest, err error) {
		known, asked = relatives(tx, subject, piece.Host, piece.Repository)
		return known, asked
	}
	request.Schema = func(typ string) (schema json.RawMessage, err error) {
		if schemas == "" {
			asked = provenance.Errorf(provenance.Invalid, "%s by a signer of no organisation: name whose schema it has, as custom/MSP/NAME", clip(typ))
			return nil, asked
		}
		_, schema, asked = customSchema(tx, schemas, typ)
		return schema, asked
	}
	result, err := tx.verify(request, key, piece.Private)
	if asked != nil {
		return no(asked)
	}
	if err != nil {
		return no(badEvidence(err))
	}
	if result.Type, err = checkCustom(tx, schemas, result); err != nil {
		return no(err)
	}
	if err := provenance.CheckText("identity of the signer", result.Identity, maxIdentity); err != nil {
		return no(err)
	}
	if err := provenance.CheckText("issuer of the signer", result.Issuer, maxIdentity); err != nil {
		return no(err)
	}
	if err := checkClaims(result.Claims); err != nil {
		return no(err)
	}
	signer.Identity, signer.Issuer = result.Identity, result.Issuer
	if result.Identity != "" {
		signer.Kind = policy.SignedByCertificate
	}
	// Anybody can sign below a public root; what rules ask for has room of its own.
	h, repo, err := parseRepository(piece.Host, piece.Repository)
	if err != nil {
		return no(err)
	}
	p, err := tx.judged.policyOf(tx, h, repo)
	if err != nil {
		return no(err)
	}
	return examined{signature: result.Signature, unruled: !p.Accepts(result.Type, signer), Evidence: state.Evidence{
		Digest: subject, Type: result.Type, ID: evidence.ID(format, piece.Envelope), Format: piece.Format, Signer: signer, Facts: result.Facts,
		Document: result.Document, PredicateType: result.PredicateType, MadeAt: result.MadeAt, Location: piece.Location, Private: piece.Private, Act: tx.act(),
		RootVersion: version, Claims: result.Claims, Uses: usesOf(result.Uses),
	}}, nil
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
