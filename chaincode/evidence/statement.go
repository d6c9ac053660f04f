package evidence

import (
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// Source: in-toto/attestation, spec/v1/statement.md and spec/v0.1.
const (
	statementV1  = "https://in-toto.io/Statement/v1"
	statementV01 = "https://in-toto.io/Statement/v0.1"
	// ownPredicate + TYPE + "/v1" is the predicateType of Waybill's own
	// statements: facts about a document, and the document's hash.
	ownPredicate = "https://waybill.dev/evidence/"
	ownVersion   = "/v1"
)

// statement is an in-toto statement whose subjects were checked.
type statement struct {
	predicateType string
	predicate     map[string]any
	annotations   map[string]any // of the subject that is the image
	large         bool           // its bytes are more than MaxSmall
}

// readStatement reads a statement about subject.
func readStatement(m map[string]any, subject provenance.Digest) (statement, error) {
	if kind := str(m, "_type"); kind != statementV1 && kind != statementV01 {
		return statement{}, invalid("statement: _type %q: want %s", clip(kind), statementV1)
	}
	s := statement{predicateType: str(m, "predicateType")}
	if s.predicateType == "" || len(s.predicateType) > maxIdentity || !printable(s.predicateType) {
		return statement{}, invalid("statement: predicateType %q", clip(s.predicateType))
	}
	var ok bool
	if s.predicate, ok = m["predicate"].(map[string]any); !ok {
		return statement{}, invalid("statement: predicate is no object")
	}
	var err error
	s.annotations, err = checkSubjects(list(m, "subject"), subject)
	return s, err
}

// checkSubjects tells whether want is among the subjects. Others may be anything
// that has a digest, a commit say. The one that is want must give no algorithm but
// want's own (nothing else can be compared here); and two subjects that share one
// digest may not differ in another.
func checkSubjects(subjects []any, want provenance.Digest) (annotations map[string]any, err error) {
	if len(subjects) == 0 || len(subjects) > MaxSubjects {
		return nil, invalid("statement: %d subjects: want 1 to %d", len(subjects), MaxSubjects)
	}
	wantAlg, wantValue := split(want)
	seen := map[string]map[string]any{} // by a digest, all digests of the subjects that have it
	found := false
	for i, s := range subjects {
		digests := object(s, "digest")
		if err := checkDigestSet(digests, i); err != nil {
			return nil, err
		}
		for _, alg := range sortedNames(digests) {
			value, _ := digests[alg].(string)
			same := seen[alg+":"+value]
			if same == nil {
				same = map[string]any{}
				seen[alg+":"+value] = same
			}
			for other, v := range digests {
				if known, ok := same[other]; ok && known != v {
					return nil, invalid("statement: subject %d and one before it name one thing by different digests", i)
				}
				same[other] = v
			}
		}
		if digests[wantAlg] != wantValue {
			continue
		}
		if len(digests) != 1 {
			return nil, invalid("statement: subject %d gives %s a digest that cannot be compared with %s", i, want.Short(), wantAlg)
		}
		if !found {
			annotations = object(s, "annotations")
		}
		found = true
	}
	if !found && subjectName(subjects[0]) == "" {
		return nil, invalid("statement: subject 0 is named by neither sha256 nor sha512, and no other is %s", want.Short())
	}
	if !found {
		return nil, invalid("statement is about %s and not %s", clip(subjectName(subjects[0])), want.Short())
	}
	return annotations, nil
}

func checkDigestSet(digests map[string]any, i int) error {
	if len(digests) == 0 || len(digests) > 8 {
		return invalid("statement: subject %d: want 1 to 8 digests", i)
	}
	for _, alg := range sortedNames(digests) {
		value, ok := digests[alg].(string)
		if !ok || value == "" || len(value) > 256 {
			return invalid("statement: subject %d: digest %q is no text", i, clip(alg))
		}
		if folded := strictjson.Fold(strings.ReplaceAll(alg, "-", "")); folded == "sha256" || folded == "sha512" {
			// "SHA256" or "sha-256" beside or instead of "sha256" is another reader's sha256.
			if _, err := provenance.ParseDigest(alg + ":" + value); err != nil {
				return wrap(err, "statement: subject")
			}
		}
	}
	return nil
}

// subjectName names a checked subject for people; "" where it has neither digest.
func subjectName(s any) string {
	for _, alg := range []string{"sha256", "sha512"} {
		if d, err := provenance.ParseDigest(alg + ":" + str(s, "digest", alg)); err == nil {
			return d.Short()
		}
	}
	return ""
}

// statementResult reads a signed statement and takes its facts.
func statementResult(payload []byte, subject provenance.Digest) (Result, error) {
	m, err := strictjson.Object(payload, payloadLimits())
	if err != nil {
		return Result{}, wrap(err, "dsse payload")
	}
	s, err := readStatement(m, subject)
	if err != nil {
		return Result{}, err
	}
	s.large = len(payload) > MaxSmall
	result, err := s.result(subject)
	if err != nil {
		return Result{}, err
	}
	if result.Document == "" {
		result.Document = hash(payload)
	}
	return result, nil
}
