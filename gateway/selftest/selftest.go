// Package selftest holds what came to a connector, and what its self-test found,
// as admins see both.
package selftest

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Connector is a configured source of notifications; it holds no secret. The
// numbers count since the process started.
type Connector struct {
	Name, Kind     string
	Host           provenance.Host
	Path           string
	Repositories   []string
	Authentication string
	Weakness       string // "": none is known

	Accepted, Duplicate, Ignored, Refused int64

	LastEvent   time.Time // zero: none was accepted
	LastRefused time.Time // zero: none was refused
	LastStatus  int       // of that
}

// The outcomes of a test and of its steps.
const (
	Recorded = "recorded-as-test"
	Failed   = "failed"

	StepOK      = "ok"
	StepWeak    = "weak"
	StepFailed  = "failed"
	StepSkipped = "skipped"
)

// Test is what became of a sample.
type Test struct {
	Connector Connector
	Outcome   string
	Steps     []Step
	Settings  string // what to paste into the registry
}

// Step is one step of a notification's way.
type Step struct{ Name, Result, Detail, Advice string }
