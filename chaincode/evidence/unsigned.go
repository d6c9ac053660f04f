package evidence

import (
	"encoding/json"
	"regexp"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

var hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Statement states the facts of a document about an image, with the
// document's hash, so that a document too large to travel can be spoken
// for on the ledger. Its maker, not the ledger, has read the document: the
// maker vouches for the facts, with its transaction (FormatPlain) or its key
// (FormatDSSE). typ "" takes the type as found.
//
//	{"_type":"https://in-toto.io/Statement/v1",
//	 "subject":[{"digest":{"sha256":"..."}}],
//	 "predicateType":"https://waybill.dev/evidence/TYPE/v1",
//	 "predicate":{"document":{"sha256":"...","size":N,"predicateType":"...",
//	                          "images":["sha256:..."],"imageIDs":["sha256:..."]},
//	              "facts":{...},"madeAt":"2026-01-02T03:04:05Z"}}
//
// images and imageIDs are by what the document names its image, where it does.
func Statement(document []byte, typ string, subject provenance.Digest) ([]byte, error) {
	found, err := extract(document, typ, MaxDocument, subject)
	if err != nil {
		return nil, err
	}
	if subject.IsZero() {
		return nil, invalid("no subject")
	}
	if found.whole {
		found.facts = factsOnly(found.facts)
	}
	if _, err := encodeFacts(found.facts); err != nil {
		return nil, err
	}
	about := map[string]any{
		"sha256":        hash(document),
		"size":          int64(len(document)),
		"predicateType": found.predicateType,
	}
	for name, digests := range map[string][]string{"images": found.names.Manifests, "imageIDs": found.names.Configs} {
		if len(digests) > 0 {
			about[name] = anyList(digests)
		}
	}
	predicate := map[string]any{"document": about, "facts": found.facts}
	if !found.madeAt.IsZero() {
		predicate["madeAt"] = found.madeAt.Format(time.RFC3339)
	}
	alg, value := split(subject)
	return marshal(map[string]any{
		"_type":         statementV1,
		"subject":       []any{map[string]any{"digest": map[string]any{alg: value}}},
		"predicateType": ownPredicate + found.typ + ownVersion,
		"predicate":     predicate,
	})
}

// Whole states a document itself about an image, for a key to sign (FormatDSSE): it is
// the predicate, or is a statement already. Errors are those of Statement: what the
// contract would not take is found here, but for the size of its envelope.
func Whole(document []byte, typ string, subject provenance.Digest) ([]byte, error) {
	found, err := extract(document, typ, MaxDocument, subject)
	if err != nil {
		return nil, err
	}
	if subject.IsZero() {
		return nil, invalid("no subject")
	}
	m, err := readDocument(document, MaxDocument)
	if err != nil {
		return nil, err
	}
	if kind := str(m, "_type"); kind == statementV1 || kind == statementV01 {
		return document, nil
	}
	if has(m, "document", "sha256") {
		return Statement(document, typ, subject) // as a predicate of ours it would be taken for one
	}
	predicateType := found.predicateType
	if typeOfPredicate(predicateType) != found.typ {
		predicateType = ownPredicate + found.typ + ownVersion
	}
	alg, value := split(subject)
	return marshal(map[string]any{
		"_type":         statementV1,
		"subject":       []any{map[string]any{"digest": map[string]any{alg: value}}},
		"predicateType": predicateType,
		"predicate":     json.RawMessage(document),
	})
}

func split(d provenance.Digest) (alg, value string) {
	const algorithm = len("sha256") // and sha512
	return d.String()[:algorithm], d.String()[algorithm+1:]
}

// verifyUnsigned reads a document its submitter vouches for: a bare document, an
// unsigned in-toto statement, or Waybill's own Statement over a hash.
func verifyUnsigned(r Request) (Result, error) {
	found, err := extract(r.Envelope, r.Type, MaxSmall, r.Subject)
	if err != nil {
		return Result{}, err
	}
	if found.document == "" {
		found.document = hash(r.Envelope)
	}
	return found.result()
}

// ownFacts reads the predicate of Waybill's own statement. The facts are as
// their maker wrote them; they are held to the shape of their type.
func ownFacts(typ string, predicate map[string]any) (extracted, error) {
	if typ == TypeSignature {
		return extracted{}, invalid("a signature cannot be stated, only made")
	}
	document, facts := object(predicate, "document"), object(predicate, "facts")
	if facts == nil || !hexSHA256.MatchString(str(document, "sha256")) {
		return extracted{}, invalid("statement: want predicate.facts and predicate.document.sha256")
	}
	encoded, err := encodeFacts(facts)
	if err != nil {
		return extracted{}, err
	}
	if shape, ok := factSchemas()[typ]; ok {
		if err := ValidateSchema(json.RawMessage(shape), encoded); err != nil {
			return extracted{}, err
		}
	}
	predicateType := str(document, "predicateType")
	if len(predicateType) > maxIdentity || !printable(predicateType) {
		return extracted{}, invalid("statement: predicate.document.predicateType %q", clip(predicateType))
	}
	var names ImageNames
	for _, d := range list(document, "images") {
		d, _ := d.(string)
		names.manifest(d)
	}
	for _, d := range list(document, "imageIDs") {
		d, _ := d.(string)
		names.config(d)
	}
	return extracted{
		typ: typ, facts: facts, predicateType: predicateType,
		madeAt: claimedTime(str(predicate, "madeAt")), document: str(document, "sha256"), names: names,
	}, nil
}

func readDocument(b []byte, limit int) (map[string]any, error) {
	m, err := strictjson.Object(b, strictjson.Limits{Bytes: limit, AnyNumbers: true, Chosen: chosenNames()})
	if err != nil {
		return nil, wrap(err, "document")
	}
	return m, nil
}
