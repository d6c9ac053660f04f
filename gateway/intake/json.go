package intake

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// Limits of a document. They keep a hostile one from costing more than its
// bytes; a registry's notification is nowhere near them.
const (
	maxDepth  = 32
	maxNames  = 256 // of one object
	maxValues = 200_000
)

// checkJSON accepts the documents that every JSON reader understands alike, as
// package strictjson says. Unknown fields are fine. Errors are Invalid and name
// the byte. How large a body may be is decided before it is read.
func checkJSON(raw []byte) error {
	err := strictjson.Check(raw, strictjson.Limits{Bytes: len(raw), Depth: maxDepth, Values: maxValues, String: len(raw), Name: len(raw), Names: maxNames})
	if err != nil {
		return within("body", err)
	}
	return nil
}

// decode checks a document and reads it into a struct. what names the form that is wanted.
func decode(raw []byte, into any, what string) error {
	if err := checkJSON(raw); err != nil {
		return err
	}
	return decodeChecked(raw, into, what)
}

// decodeChecked reads a part of a document that checkJSON has seen.
func decodeChecked(raw []byte, into any, what string) error {
	if err := json.Unmarshal(raw, into); err != nil || len(raw) == 0 || bytes.TrimSpace(raw)[0] != '{' {
		return provenance.Errorf(provenance.Invalid, "body: want %s", what)
	}
	return nil
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
