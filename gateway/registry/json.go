package registry

import (
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

const (
	maxDepth = 32 // levels of JSON; a real manifest has five
	// maxValues bounds the values of a document. Read into records, four
	// megabytes of "{}," would become hundreds; 10,000 layers with annotations
	// are 75,000 values.
	maxValues = 125_000
)

// checkJSON refuses what two readers could read differently, as package
// strictjson says, and what is made of too many parts.
func checkJSON(body []byte) error { return strictjson.Check(body, limits()) }

// checkAnnotated is checkJSON for what has annotations in it: their names may differ
// by case alone. Whoever may push chooses those of a referrer, and would make the list
// of all others unreadable by them.
func checkAnnotated(body []byte) error {
	l := limits()
	l.ExactNames = true
	return strictjson.Check(body, l)
}

func limits() strictjson.Limits {
	return strictjson.Limits{Bytes: MaxManifest, Depth: maxDepth, Values: maxValues, String: MaxManifest, Name: MaxManifest}
}

func bad(format string, args ...any) error {
	return provenance.Errorf(provenance.Invalid, format, args...)
}
