package contract

import (
	"errors"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// SubmitBatch is Submit for many pieces, sent in the transient field "pieces" as
// evidence.EncodeBatch writes them, by whoever may Submit each of them. Each is judged
// for itself, in their order and as if those before it were on the ledger already: the
// answer lists their outcomes. One that is refused is refused alone, and nothing of it
// is written. Two by one signer of one type that claim no time are equally new: the
// greater id counts.
//
// What the peer could not answer fails all of them: it is no outcome of a piece.
func (EvidenceContract) SubmitBatch(tx *Tx) (string, error) {
	b, err := tx.transient("pieces")
	if err != nil {
		return "", err
	}
	pieces, err := evidence.DecodeBatch(b)
	if err != nil {
		return "", err
	}
	tx.queued = len(b) > evidence.MaxSmall
	stub := newOverlay(tx.GetStub())
	tx.SetStub(stub)
	defer tx.SetStub(stub.ChaincodeStubInterface)
	tx.directory = nil // it reads through the stub that was there before
	tx.judged = &judged{map[[2]string]judgedSigner{}, map[[2]string]*policy.Policy{}}
	defer func() { tx.judged = nil }()
	if err := readAhead(tx, pieces); err != nil {
		return "", err
	}
	outcomes := make([]evidence.Outcome, len(pieces))
	verified := make([]examined, len(pieces))
	for i, p := range pieces {
		if verified[i], err = examineWithin(tx, p); err != nil {
			if outcomes[i], err = refusal(err); err != nil {
				return "", err
			}
		}
	}
	if err := readAheadOf(tx, verified, outcomes); err != nil {
		return "", err
	}
	places := map[string]bool{} // about whose images something was written
	for i, e := range verified {
		if outcomes[i].Code != "" {
			continue
		}
		s, err := storeEvidence(tx, e)
		if err != nil {
			stub.drop()
			if outcomes[i], err = refusal(err); err != nil {
				return "", err
			}
			continue
		}
		if stub.keep() {
			places[placeKey(pieces[i])] = true
		}
		outcomes[i] = evidence.Outcome{ID: s.ID, Type: s.Type, Known: s.Known, Counts: s.Counts}
	}
	// As materialize does, but for the images of refused pieces. It finds nothing left to do.
	for _, p := range tx.records().Unpacked() {
		if places[p.Key] && !tx.written[p.Key] {
			if err := tx.putBytes(p.Key, p.Value); err != nil {
				return "", err
			}
		}
	}
	tx.written = nil
	if err := stub.flush(); err != nil {
		return "", err
	}
	return answer(outcomes, nil)
}

// judged keeps what many pieces of a batch are judged by as it was decoded for the first
// of them: keys and roots by organisation and name, policies by registry and repository. A
// batch writes none of what they are made from, so they are the same for all of it.
type judged struct {
	signers  map[[2]string]judgedSigner
	policies map[[2]string]*policy.Policy // nil where none matches
}

type judgedSigner struct {
	signer  policy.Signer
	key     *evidence.Key
	version int
	err     error
}

// signerOf is signerOf, asked once for each key. Of a plain document and of a name that is none the format
// matters too.
func (j *judged) signerOf(tx *Tx, format, msp, name string) (policy.Signer, *evidence.Key, int, error) {
	if j == nil || evidence.Format(format) == evidence.FormatPlain || name == "" || len(msp) > maxName || len(name) > maxName {
		return signerOf(tx, format, msp, name)
	}
	s, known := j.signers[[2]string{msp, name}]
	if !known {
		s.signer, s.key, s.version, s.err = signerOf(tx, format, msp, name)
		j.signers[[2]string{msp, name}] = s
	}
	return s.signer, s.key, s.version, s.err
}

// policyOf is the policy in force for a repository, read once for each.
func (j *judged) policyOf(tx *Tx, host provenance.Host, repo provenance.Repository) (*policy.Policy, error) {
	at := [2]string{string(host), string(repo)}
	if j != nil {
		if p, known := j.policies[at]; known {
			return p, nil
		}
	}
	p, _, err := state.LoadPolicy(tx, host, repo)
	if err == nil && j != nil {
		j.policies[at] = p
	}
	return p, err
}

// examineWithin is examine for a piece whose texts came in no arguments, which are
// held to have no NUL before a transaction runs.
func examineWithin(tx *Tx, p evidence.Piece) (examined, error) {
	for _, text := range []string{p.Host, p.Repository, p.Digest, p.Type, p.Format, p.MSP, p.Key, p.Location} {
		if strings.ContainsRune(text, 0) {
			return examined{}, provenance.Errorf(provenance.Invalid, "evidence:SubmitBatch: a text of a piece holds a NUL character")
		}
	}
	return examine(tx, p)
}

// maxRefusal bounds the words of one refusal, which stand in the block, in bytes.
const maxRefusal = 256

// refusal is the outcome of a piece that was refused. The error is one that fails the
// whole transaction. A library's words are left out: they need not be the same on
// every peer, and the code and our own say what is wrong.
func refusal(err error) (evidence.Outcome, error) {
	code := provenance.CodeOf(err)
	if code == provenance.Internal || code == provenance.Unavailable {
		return evidence.Outcome{}, err
	}
	phase := provenance.PhaseOf(err)
	var words []string
	for coded := (*provenance.Error)(nil); errors.As(err, &coded); err = coded.Err {
		words = append(words, coded.Message)
		if coded.Err == nil {
			break
		}
	}
	text := strings.Join(words, ": ")
	if len(text) > maxRefusal {
		text = text[:maxRefusal]
	}
	return evidence.Outcome{Code: code, Phase: phase, Message: strings.ToValidUTF8(text, "")}, nil
}

// placeKey names the record of where a piece's image is; "" where its texts name none.
func placeKey(p evidence.Piece) string {
	d, err := provenance.ParseDigest(p.Digest)
	if err != nil {
		return ""
	}
	h, repo, err := parseRepository(p.Host, p.Repository)
	if err != nil {
		return ""
	}
	return state.PlaceKey(d, h, repo)
}

// readAhead reads what pieces are examined by, in as many round trips as one takes. It
// decides nothing: what is not read here is read when it is asked for.
func readAhead(tx *Tx, pieces []evidence.Piece) error {
	keys := []string{state.MembersKey(), state.PoliciesKey()}
	for _, p := range pieces {
		if key := placeKey(p); key != "" {
			keys = append(keys, key)
			if h, err := provenance.ParseHost(p.Host); err == nil && p.Private {
				keys = append(keys, state.RegistryKey(h))
			}
		}
		if p.Key != "" && len(p.Key) <= maxName && len(p.MSP) <= maxName && !strings.ContainsRune(p.MSP+p.Key, 0) {
			keys = append(keys, state.TrustedRootKey(p.MSP, p.Key), state.TrustKeyKey(p.MSP, p.Key))
		}
	}
	return readTogether(tx, keys)
}

// readAheadOf is readAhead for what verified pieces are stored by.
func readAheadOf(tx *Tx, verified []examined, outcomes []evidence.Outcome) error {
	var keys []string
	for i, e := range verified {
		if outcomes[i].Code != "" {
			continue
		}
		keys = append(keys, state.EvidenceSetKey(e.Digest, tx.caller.MSP))
		if e.signature != "" {
			keys = append(keys, state.FirstPieceKey(e.Digest, e.Type, e.Signer, e.signature))
		}
		keys = append(keys, state.EvidenceKey(e.Digest, e.Type, e.ID))
	}
	return readTogether(tx, keys)
}

func readTogether(tx *Tx, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	slices.Sort(keys)
	_, err := tx.Get(slices.Compact(keys)...)
	return err
}
