package contract

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// mayHide refuses private facts that are not the caller's to ask for: others could
// make evidence useless that way before it is brought.
func mayHide(tx *Tx, piece evidence.Piece, signer policy.Signer) error {
	if !piece.Private || signer.MSP == tx.caller.MSP {
		return nil
	}
	h, err := provenance.ParseHost(piece.Host)
	if err != nil {
		return err
	}
	values, err := tx.Get(state.RegistryKey(h))
	if err != nil {
		return err
	}
	if _, err := owns(tx, h, values[0]); err != nil {
		return provenance.Errorf(provenance.Forbidden, "what %s signed about an image of a registry of others is not %s's to keep private", signer.MSP, tx.caller.MSP)
	}
	return nil
}

// badEvidence is what Verify says, as a transaction's refusal.
func badEvidence(err error) error {
	var coded *provenance.Error
	if !errors.As(err, &coded) {
		return provenance.Wrap(provenance.BadEvidence, err, "evidence")
	}
	bad := &provenance.Error{Code: provenance.BadEvidence, Message: coded.Message}
	if coded.Err != nil {
		bad.Err = cause{coded.Err}
	}
	return bad
}

// cause is an error that prints without the codes in it.
type cause struct{ error }

func (c cause) Error() string { return message(c.error) }
func (c cause) Unwrap() error { return c.error }

// verify is evidence.Verify. A large envelope, and each of a large batch, waits for its caller's organisation's
// turn: what it costs is bounded for all who endorse, and its outcome is the same. The
// turn ends before the ledger is asked: a peer that is gone may never answer.
func (tx *Tx) verify(r evidence.Request, key *evidence.Key, private bool) (evidence.Result, error) {
	if tx.queued || len(r.Envelope) > evidence.MaxSmall {
		end := sync.OnceFunc(tx.turns.take(tx.caller.MSP))
		defer end()
		known, schema := r.Known, r.Schema
		r.Known = func() ([]provenance.Digest, error) { end(); return known() }
		r.Schema = func(typ string) (json.RawMessage, error) { end(); return schema(typ) }
	}
	result, err := evidence.VerifyCached(r, key, tx.keys)
	if err != nil || !private {
		return result, err
	}
	return result.Private()
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

// relatives returns by what else a document may name an image: the indexes of the
// repository that list it, as far as they are kept, and what its manifest says, its
// config and the images it lists.
func relatives(tx *Tx, subject provenance.Digest, host, repository string) ([]provenance.Digest, error) {
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return nil, err
	}
	var p state.Place
	if _, err := state.Read(tx, state.PlaceKey(subject, h, repo), &p); err != nil {
		return nil, err
	}
	var parents state.Parents
	if _, err := state.Read(tx, state.ParentsKey(subject, h, repo), &parents); err != nil {
		return nil, err
	}
	known := append(slices.Clone(parents.Indexes), p.Children...)
	if !p.Config.IsZero() {
		known = append(known, p.Config)
	}
	return known, nil
}

// checkCustom holds the facts of a custom type to the schema that an
// organisation registered for it, and returns the type with its name.
func checkCustom(tx *Tx, msp string, result evidence.Result) (string, error) {
	if !strings.HasPrefix(result.Type, evidence.CustomPrefix) {
		return result.Type, nil
	}
	typ, schema, err := customSchema(tx, msp, result.Type)
	if err != nil {
		return "", err
	}
	if err := evidence.ValidateSchema(schema, result.Facts); err != nil {
		return "", provenance.Errorf(provenance.BadEvidence, "facts of %s: %s", typ, message(err))
	}
	return typ, nil
}

// customSchema returns the schema that an organisation registered for a custom
// type, and the type with its name.
func customSchema(tx *Tx, msp, signed string) (typ string, schema json.RawMessage, err error) {
	name, _ := strings.CutPrefix(signed, evidence.CustomPrefix)
	if err := checkMSP(msp); err != nil {
		return "", nil, err
	}
	typ = evidence.CustomPrefix + msp + "/" + name
	var s state.Schema
	found, err := state.Read(tx, state.SchemaKey(msp, name), &s)
	if err != nil {
		return "", nil, err
	}
	if !found {
		return "", nil, provenance.Errorf(provenance.NotFound, "no schema is registered for evidence of type %s; an admin of %s adds it with schema:Add", typ, msp)
	}
	return typ, s.Schema, nil
}
