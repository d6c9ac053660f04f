package intake

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// Limits of a document. They keep a hostile one from costing more than its
// bytes; a registry's notification is nowhere near them.
const (
	maxDepth  = 32
	maxValues = 200_000 // and so of names in one object: some hold an image's labels
)

// checkJSON accepts the documents that every JSON reader understands alike, as
// package strictjson says, but for names in two spellings. It is for what proves
// something (keys, claims) and for our own format: registries repeat what the
// author of an image wrote, which is theirs to write (see wellFormed). Unknown
// fields are fine. Errors are Invalid and name the byte. How large a body may be
// is decided before it is read.
func checkJSON(raw []byte) error {
	err := strictjson.Check(raw, strictjson.Limits{
		Bytes: len(raw), Depth: maxDepth, Values: maxValues, String: len(raw), Name: len(raw), Names: maxValues,
		ExactNames: true, // of two spellings of a name that is read, checkNames says something
	})
	if err != nil {
		return within("body", err)
	}
	return nil
}

// wellFormed asks of a notification that it is JSON, and no more: labels,
// annotations and whole manifests stand in it, and whoever may push could hide
// that behind a number or a name that not every reader takes alike. Of the
// fields that are read, checkNames says more.
func wellFormed(raw []byte) error {
	if !json.Valid(raw) {
		return notJSON(raw)
	}
	return nil
}

// decodeStrict is decode for documents that checkJSON is for.
func decodeStrict(raw []byte, into any, what string) error {
	if err := checkJSON(raw); err != nil {
		return err
	}
	return decode(raw, into, what)
}

// decode reads a notification into a struct. what names the form that is wanted;
// what has another form altogether is foreign.
func decode(raw []byte, into any, what string) error {
	if err := wellFormed(raw); err != nil {
		return err
	}
	if bytes.TrimSpace(raw)[0] != '{' {
		return foreign("body: want %s", what)
	}
	return decodeChecked(raw, into, what)
}

// decodeChecked reads a part of a document that wellFormed has seen. A field that is read stands once, in one spelling:
// encoding/json would take the last of several, whatever its case.
func decodeChecked(raw []byte, into any, what string) error {
	if len(raw) == 0 || bytes.TrimSpace(raw)[0] != '{' {
		return provenance.Errorf(provenance.Invalid, "body: want %s", what)
	}
	if err := checkNames(raw, into); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return provenance.Errorf(provenance.Invalid, "body: want %s", what)
	}
	return nil
}

// listIn returns the entries of the list that a document holds under a name.
// It looks at nothing else: what stands beside the list, or in an entry, may be
// wrong without spoiling its neighbours, and is checked by who reads it.
func listIn(raw []byte, name, what string) ([]json.RawMessage, error) {
	if err := wellFormed(raw); err != nil {
		return nil, err
	}
	wanted := foreign("body: want %s", what)
	d := json.NewDecoder(bytes.NewReader(raw))
	if start, _ := d.Token(); start != json.Delim('{') {
		return nil, wanted
	}
	var list json.RawMessage
	for d.More() {
		key, _ := d.Token() // the document is valid, as far as that goes
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, wanted
		}
		if text, _ := key.(string); strings.EqualFold(text, name) {
			if list != nil {
				return nil, provenance.Errorf(provenance.Invalid, "body: %s stands there twice", name)
			}
			list = value
		}
	}
	if list == nil {
		return nil, wanted
	}
	return entries(list, name)
}

// notJSON says where a document that json.Valid refused is wrong.
func notJSON(raw []byte) error {
	if err := checkJSON(raw); err != nil {
		return err
	}
	return provenance.Errorf(provenance.Invalid, "body: is not JSON")
}

// entries takes a list apart that json.Valid has seen, one by one: a list of
// too many is not built.
func entries(list []byte, field string) (out []json.RawMessage, err error) {
	d := json.NewDecoder(bytes.NewReader(list))
	if start, _ := d.Token(); start != json.Delim('[') {
		return nil, foreign("%s: want a list", field)
	}
	for d.More() {
		if len(out) == maxEvents {
			return nil, provenance.Errorf(provenance.Invalid, "%s: more than %d of them", field, maxEvents)
		}
		var one json.RawMessage
		if err := d.Decode(&one); err != nil {
			return nil, provenance.Errorf(provenance.Invalid, "%s: want a list", field)
		}
		out = append(out, one)
	}
	return out, nil
}

// hashJSON hashes a document without its white space: a retry may be laid out
// by another proxy and is still the same.
func hashJSON(raw []byte) ([sha256.Size]byte, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return [sha256.Size]byte{}, provenance.Errorf(provenance.Invalid, "body is not JSON")
	}
	return sha256.Sum256(compact.Bytes()), nil
}

func isJSON(mediaType string) bool { return mediaType == "application/json" }
