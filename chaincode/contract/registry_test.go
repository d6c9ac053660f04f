package contract

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// pushedBy tells whether an organisation's gateway may record a push to a repository.
func (l *ledger) pushedBy(org, host, repository string) error {
	e := push("1.0", fmt.Sprint("of ", org, l.txs))
	e.Repository = provenance.Repository(repository)
	_, _, err := l.segment("gateway@"+org, host, 9000+l.txs, e)
	return err
}

// TestNobodyTakesAHostAlone: whoever was first to name a host had it: docker.io,
// ghcr.io, a competitor's. A registry is given by a vote.
func TestNobodyTakesAHostAlone(t *testing.T) {
	l := network(t)
	l.refused(provenance.Forbidden, "admin@VendorMSP", "registry:Add", "competitor.example", "distribution")
	body := registryBody("competitor.example", "", "VendorMSP")
	for range 3 {
		if v := l.open("VendorMSP", "registry", body); v.Proposal.Status != state.ProposalOpen || len(v.Yes) != 1 {
			t.Errorf("one organisation: %+v", v)
		}
	}
	if err := l.pushedBy("VendorMSP", "competitor.example", "team/app"); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("a host that nobody gave: %v", err)
	}
	l.open("AuditMSP", "registry", body)
	l.refused(provenance.NotFound, "admin@VendorMSP", "label:Set", "competitor.example", "team/app", "tier", "x")
	if v := l.open("SecurityMSP", "registry", body); v.Proposal.Status != state.ProposalAccepted {
		t.Errorf("three of four: %+v", v)
	}
	if err := l.pushedBy("VendorMSP", "competitor.example", "team/app"); err != nil {
		t.Errorf("given: %v", err)
	}
	if err := l.pushedBy("PlatformMSP", "competitor.example", "team/app"); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("given to another: %v", err)
	}
	for _, bad := range []string{
		registryBody("no host", "", "VendorMSP"), registryBody("a.example", "../x", "VendorMSP"), registryBody("a.example", "Team", "VendorMSP"), registryBody("a.example", "", "Vendor MSP"),
		`{"host":"a.example","namespace":"","owner":"VendorMSP","kind":"No Kind"}`, `{"host":"a.example","owner":"VendorMSP","kind":"zot","all":true}`, `[]`, ``,
	} {
		l.refused(provenance.Invalid, "admin@VendorMSP", "proposal:Open", "registry", bad)
	}
	l.refused(provenance.NotFound, "admin@VendorMSP", "proposal:Open", "registry", registryBody("a.example", "", "OutsiderMSP"))
}

// TestSharedHostsAreClaimedByNamespace: nobody speaks for all of docker.io.
func TestSharedHostsAreClaimedByNamespace(t *testing.T) {
	l := network(t)
	for _, h := range []string{"docker.io", "ghcr.io", "quay.io", "europe-docker.pkg.dev"} {
		l.refused(provenance.Invalid, "admin@VendorMSP", "proposal:Open", "registry", registryBody(h, "", "VendorMSP"))
	}
	l.agree("registry", registryBody("ghcr.io", "vendor", "VendorMSP"), orgs()[:3]...)
	l.agree("registry", registryBody("ghcr.io", "platform", "PlatformMSP"), orgs()[:3]...)
	l.agree("registry", registryBody("ghcr.io", "vendor/shared", "AuditMSP"), orgs()[:3]...)
	for _, c := range []struct {
		org, repository string
		want            provenance.Code
	}{
		{"VendorMSP", "vendor/app", ""}, {"PlatformMSP", "platform/app", ""}, {"AuditMSP", "vendor/shared/app", ""},
		{"VendorMSP", "platform/app", provenance.Forbidden}, {"PlatformMSP", "vendor/app", provenance.Forbidden}, {"VendorMSP", "vendor/shared", provenance.Forbidden},
		{"VendorMSP", "vendors/app", provenance.NotFound}, {"VendorMSP", "else/app", provenance.NotFound}, {"SecurityMSP", "vendor/app", provenance.Forbidden},
	} {
		if err := l.pushedBy(c.org, "ghcr.io", c.repository); provenance.CodeOf(err) != c.want {
			t.Errorf("%s records %s: %v, want %q", c.org, c.repository, err, c.want)
		}
	}
	// One segment that holds another's repository as well is refused as a whole.
	mine, theirs := push("1.0", "mine"), push("1.0", "theirs")
	mine.Repository, theirs.Repository = "vendor/app", "platform/app"
	if _, writes, err := l.segment("gateway@VendorMSP", "ghcr.io", 1, mine, theirs); provenance.CodeOf(err) != provenance.Forbidden || len(writes) > 0 {
		t.Errorf("a segment with another's repository: %v", err)
	}
	var rows []RegistryView
	if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "registry:List")), &rows); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprint(r.Host, "/", r.Namespace, " ", r.Owner))
	}
	want := []string{"ghcr.io/platform PlatformMSP", "ghcr.io/vendor VendorMSP", "ghcr.io/vendor/shared AuditMSP", host + "/ VendorMSP"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestARegistryIsHandedOnByVote: its owner cannot give it away, or keep it, alone;
// what was recorded stays, and the old owner records nothing more.
func TestARegistryIsHandedOnByVote(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	body := registryBody(host, "", "PlatformMSP")
	v := l.open("VendorMSP", "registry", body)
	if err := l.pushedBy("PlatformMSP", host, repo); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("given away by its owner alone: %v", err)
	}
	l.open("AuditMSP", "registry", body)
	// In between it was given to another: the votes were for the first state of things.
	l.agree("registry", registryBody(host, "team", "SecurityMSP"), orgs()[:3]...)
	l.refused(provenance.Stale, "admin@SecurityMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "yes", "")
	l.agree("registry", registryBody(host, "team", "PlatformMSP"), "AuditMSP", "PlatformMSP", "SecurityMSP")
	for org, want := range map[string]provenance.Code{"PlatformMSP": "", "SecurityMSP": provenance.Forbidden, "VendorMSP": provenance.Forbidden} {
		if err := l.pushedBy(org, host, repo); provenance.CodeOf(err) != want {
			t.Errorf("%s after it was handed on: %v", org, err)
		}
	}
	if p := read[state.Place](l, state.PlaceKey(digestOf("v1"), host, repo)); p.MSP != "VendorMSP" {
		t.Errorf("who recorded what was: %+v", p)
	}
	// Nobody takes the name of another's segment.
	if err := l.pushedBy("VendorMSP", host, "other/app"); err != nil {
		t.Errorf("the rest of the registry: %v", err)
	}
	l.quiet("admin@VendorMSP", "proposal:Open", "registry", registryBody(host, "team", "PlatformMSP"))
}

// TestNobodyTakesTheNameOfASegment: a part of a registry gave an organisation the
// names of all its lanes, and the owner's next segment met other bytes.
func TestNobodyTakesTheNameOfASegment(t *testing.T) {
	l := network(t)
	l.agree("registry", registryBody(host, "guests", "PlatformMSP"), orgs()[:3]...)
	e := push("1.0", "guest")
	e.Repository = "guests/app"
	for seq := range 3 {
		if _, _, err := l.segment("gateway@PlatformMSP", host, seq, e); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.segment("gateway@VendorMSP", host, seq, push("1.0", fmt.Sprint("v", seq))); err != nil {
			t.Errorf("segment %d of the owner: %v", seq, err)
		}
	}
}
