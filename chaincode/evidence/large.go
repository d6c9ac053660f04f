package evidence

import (
	"maps"

	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// What an envelope may cost those who verify it: 16 times its size in memory. Bills of
// materials have a value for each 20 bytes and an object for each 60, or fewer.
const (
	maxEnvelopeValues = MaxSmall/2 + 1 // of what is around the document
	maxPayloadValues  = 1 << 18
	maxPayloadObjects = 96 << 10
)

// MaxEnvelope is the largest envelope of a format, in bytes.
func (f Format) MaxEnvelope() int {
	switch f {
	case FormatBundle, FormatDSSE:
		return MaxEnvelope
	default:
		return MaxSmall
	}
}

// envelopeLimits let one text of an envelope, its payload, be nearly all of it.
func envelopeLimits() strictjson.Limits {
	return strictjson.Limits{Bytes: MaxEnvelope, String: MaxEnvelope, Values: maxEnvelopeValues}
}

// chosenNames are members of reports in which people chose the names: an image's labels,
// which Trivy and Grype repeat. Nothing is read there.
func chosenNames() []string { return []string{"Labels", "labels"} }

func payloadLimits() strictjson.Limits {
	return strictjson.Limits{Bytes: MaxEnvelope, Values: maxPayloadValues, Objects: maxPayloadObjects, AnyNumbers: true, Chosen: chosenNames()}
}

// maxPartLicences is how many bytes of licences stay beside packages that do not.
const maxPartLicences = 1 << 10

// leaveParts leaves the packages of a large bill of materials out where they are not
// all of them, and its licences where those are many. A part of a list answers no
// question: a rule that asks all the same fails, where 200 names would have let it
// pass. They would be most of what the transaction takes on the ledger.
func leaveParts(found extracted) error {
	if found.typ != TypeSBOM || found.facts["truncated"] != true || found.document != "" {
		return nil
	}
	delete(found.facts, "packages")
	licences := list(found.facts, "licences")
	b, err := marshal(licences)
	if err != nil {
		return err
	}
	if len(licences) == maxLicences || len(b) > maxPartLicences {
		delete(found.facts, "licences")
	}
	return nil
}

// Private is the result without what its document lists: packages, licences,
// findings. A rule that asks for them fails. Other types than an SBOM and a scan
// decide by what they name, and are Invalid.
func (r Result) Private() (Result, error) {
	if r.Type != TypeSBOM && r.Type != TypeScan {
		return Result{}, invalid("evidence of type %s cannot be private: want %s or %s", clip(r.Type), TypeSBOM, TypeScan)
	}
	facts, err := strictjson.Object(r.Facts, strictjson.Limits{})
	if err != nil {
		return Result{}, wrap(err, "facts")
	}
	maps.DeleteFunc(facts, func(_ string, v any) bool { _, ok := v.([]any); return ok })
	facts["truncated"] = true
	encoded, err := encodeFacts(facts)
	if err != nil {
		return Result{}, err
	}
	r.Facts = encoded
	return r, nil
}
