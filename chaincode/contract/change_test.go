package contract

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// FuzzParseChange: whatever is taken has one form, is read back from it alike,
// and has ids that every peer computes the same.
func FuzzParseChange(f *testing.F) {
	for _, seed := range [][2]string{
		{"policy", policyText("default", 1)}, {"member-add", `{"msp":"NewMSP"}`}, {"member-remove", `{ "MSP" : "NewMSP" }`},
		{"majority", `{"majority":3}`}, {"majority", `{"majority":-1}`}, {"law", `{}`},
		{"registry", registryBody(host, "", "VendorMSP")}, {"registry", registryBody("ghcr.io", "vendor/app", "VendorMSP")}, {"lift", fmt.Sprintf(`{"digest":%q,"msp":"VendorMSP"}`, provenance.SHA256Of(nil))},
		{"member-add", `{"msp":"a","msp":"b"}`},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		c, err := parseChange(state.ProposalKind(kind), body)
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatalf("%q: %v, want it Invalid", body, err)
			}
			return
		}
		again, err := parseChange(c.kind, c.body)
		if err != nil {
			t.Fatalf("%q was taken as %q, which is refused: %v", body, c.body, err)
		}
		if !bytes.Equal(c.body, again.body) || c.name != again.name || c.kind != again.kind || again.source != "" {
			t.Fatalf("%q: %q, then %q", body, c.body, again.body)
		}
		if c.source != "" {
			if c.kind != state.ProposePolicy || c.source != string(body) {
				t.Fatalf("of %q the text %q is kept", body, c.source)
			}
			stored, err := storedChange(state.Proposal{Kind: c.kind, Body: c.body, Source: c.source})
			if err != nil || !bytes.Equal(stored.body, c.body) {
				t.Fatalf("%q is stored as %q, %v", body, stored.body, err)
			}
		}
		id := state.ProposalID(c.hash(1), 1)
		if same := c.source == ""; same != (id == state.ProposalID(again.hash(1), 1)) || !proposalID.MatchString(id) {
			t.Fatalf("id %v", id)
		}
		if id == state.ProposalID(c.hash(1), 2) || id == state.ProposalID(c.hash(2), 1) {
			t.Fatalf("a later round, or a change to another version, has the same id: %v", id)
		}
	})
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"", "2026-03-02T09:00:00Z", "2026-03-02T09:00:00.5+01:00", "9999-12-31T23:59:59-12:00", "1970-01-01T00:00:00+12:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parseTime("time", s)
		if err != nil || s == "" {
			return
		}
		if at.Location().String() != "UTC" || at.Nanosecond() != 0 || at.Year() < 1970 || at.Year() > 9999 {
			t.Fatalf("%q: %v", s, at)
		}
		if _, err := state.Encode(at); err != nil {
			t.Fatalf("%q cannot be written: %v", s, err)
		}
	})
}
