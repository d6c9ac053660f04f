package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// extracted is what a document says.
type extracted struct {
	typ           string
	facts         map[string]any
	predicateType string
	madeAt        time.Time
	document      string // hex sha256, when it is not that of the bytes read
	names         ImageNames
	// whole: facts are the members of a custom document, which may be none.
	whole bool
}

// Extract takes the facts out of a raw document of at most limit bytes (0
// means MaxDocument). typ names its type; "" finds out, which works for all
// but custom documents. Values are int64, string, bool, []any and
// map[string]any. The document may be an in-toto statement, whose subjects
// are not looked at here. predicateType is the statement's, or the name of the
// document's format.
func Extract(typ string, document []byte, limit int) (facts map[string]any, predicateType string, madeAt time.Time, err error) {
	found, err := extract(document, typ, limit, provenance.Digest{})
	if err == nil {
		_, err = encodeFacts(found.facts)
	}
	if err != nil {
		return nil, "", time.Time{}, err
	}
	return found.facts, found.predicateType, found.madeAt, nil
}

// extract reads a document; a zero subject matches anything.
func extract(document []byte, typ string, limit int, subject provenance.Digest) (extracted, error) {
	if typ != "" {
		if err := CheckType(typ); err != nil {
			return extracted{}, err
		}
	}
	if limit <= 0 || limit > MaxDocument {
		limit = MaxDocument
	}
	m, err := readDocument(document, limit)
	if err != nil {
		return extracted{}, err
	}
	var found extracted
	if kind := str(m, "_type"); kind == statementV1 || kind == statementV01 {
		s := statement{predicateType: str(m, "predicateType"), predicate: object(m, "predicate")}
		if !subject.IsZero() {
			if s, err = readStatement(m, subject); err != nil {
				return extracted{}, err
			}
		}
		if found, err = s.extract(subject); err != nil {
			return extracted{}, err
		}
		if found.typ == TypeSignature {
			return extracted{}, invalid("a signature is no plain document")
		}
		if typ != "" && found.typ != typ {
			return extracted{}, invalid("the statement is a %s, not %s", found.typ, typ)
		}
	} else {
		if typ == "" {
			if typ = sniff(m); typ == "" {
				return extracted{}, invalid("document of an unknown kind: name its type")
			}
		}
		if found, err = factsOf(typ, m, subject); err != nil {
			return extracted{}, err
		}
	}
	if !found.whole {
		_, err = encodeFacts(found.facts)
	}
	return found, err
}

// result turns a statement's facts into a Result.
func (s statement) result(subject provenance.Digest) (Result, error) {
	found, err := s.extract(subject)
	if err != nil {
		return Result{}, err
	}
	if s.large {
		if err := leaveParts(found); err != nil {
			return Result{}, err
		}
	}
	return found.result()
}

// result is what a document says, but for the facts of a custom one (Request.finish).
func (e extracted) result() (Result, error) {
	result := Result{Type: e.typ, Document: e.document, PredicateType: e.predicateType, MadeAt: e.madeAt, Names: e.names}
	if e.whole {
		result.Predicate = e.facts
		return result, nil
	}
	encoded, err := encodeFacts(e.facts)
	if err != nil {
		return Result{}, err
	}
	result.Facts = encoded
	return result, nil
}

func (s statement) extract(subject provenance.Digest) (extracted, error) {
	typ := typeOfStatement(s.predicateType, s.predicate)
	var found extracted
	var err error
	switch own := strings.HasPrefix(s.predicateType, ownPredicate); {
	case own && has(s.predicate, "document", "sha256"):
		return ownFacts(typ, s.predicate)
	case typ == TypeSignature:
		found.typ = typ
		found.facts, err = signatureFacts(inTotoPayload, str(s.annotations, "docker-reference"), s.annotations)
	default:
		found, err = factsOf(typ, s.predicate, subject)
	}
	found.predicateType = s.predicateType
	return found, err
}

const cosignSignPredicate = "https://sigstore.dev/cosign/sign/v1"

// below tells whether uri is base or one of its versions (base/...).
func below(uri, base string) bool {
	rest, ok := strings.CutPrefix(uri, base)
	return ok && (rest == "" || rest[0] == '/')
}

// customNameOf makes the NAME of custom/NAME from a predicateType: scheme left
// out, lower case, runs of anything else turned into '-'. A long one ends in
// eight digits of its hash.
// https://example.com/build-meta/v1 is example-com-build-meta-v1.
func customNameOf(uri string) string {
	_, rest, ok := strings.Cut(uri, "://")
	if !ok {
		rest = uri
	}
	var b strings.Builder
	for _, r := range strings.ToLower(rest) {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			b.WriteRune(r)
		} else if s := b.String(); s != "" && s[len(s)-1] != '-' {
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-")
	if name == "" || len(name) > 63 {
		sum := sha256.Sum256([]byte(uri))
		name = strings.Trim(name[:min(len(name), 54)]+"-"+hex.EncodeToString(sum[:4]), "-")
	}
	return name
}

// factsOf takes the facts of a bare document or predicate of a known type.
func factsOf(typ string, m map[string]any, subject provenance.Digest) (extracted, error) {
	var found extracted
	var err error
	switch typ {
	case TypeProvenance:
		found, err = provenanceFacts(m)
	case TypeSBOM:
		found, err = sbomFacts(m)
	case TypeScan:
		found, err = scanFacts(m)
	case TypeVEX:
		found, err = vexDocument(m, subject)
	case TypeTest:
		found, err = testFacts(m)
	case TypeVSA:
		found, err = vsaFacts(m)
	case TypeSVR:
		found, err = svrFacts(m)
	case TypeReview:
		found, err = reviewFacts(m)
	case TypeSignature:
		return extracted{}, invalid("a signature is no plain document")
	default:
		found = extracted{facts: m, predicateType: ownPredicate + typ + ownVersion, whole: true}
	}
	found.typ = typ
	return found, err
}
