package contract

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func TestContext(t *testing.T) {
	l := network(t)
	set := func(name, value string) []string { return []string{"context:Set", name, value} }
	l.do("scanner@SecurityMSP", set("incident", "true")...)
	l.do("gateway@SecurityMSP", set("openTickets", "7")...)
	l.do("release-manager@AuditMSP", set("phase", `"audit"`)...)
	l.quiet("gateway@SecurityMSP", set("openTickets", " 7 ")...)
	l.quiet("gateway@SecurityMSP", set("never", "null")...)
	l.refused(provenance.Forbidden, "auditor@SecurityMSP", set("incident", "false")...)
	for _, bad := range []string{"", "1.5", "1e3", "9007199254740993", "[]", "{}", "yes", "1 2", `"` + strings.Repeat("x", 256) + `"`, "\"\xff\""} {
		l.refused(provenance.Invalid, "scanner@SecurityMSP", set("x", bad)...)
	}
	for _, bad := range []string{"", "Incident", "a-b", "a.b", strings.Repeat("a", 64)} {
		l.refused(provenance.Invalid, "scanner@SecurityMSP", set(bad, "1")...)
	}
	list := func() (got []ContextEntry) {
		if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "context:List")), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := list()
	if len(got) != 2 || got[0].Values["phase"].Value != "audit" || got[1].Values["incident"].Value != true || got[1].Values["openTickets"].Value != int64(7) {
		t.Errorf("%+v", got)
	}
	l.do("scanner@SecurityMSP", set("incident", "null")...)
	if _, ok := list()[1].Values["incident"]; ok {
		t.Error("null does not remove")
	}
	for i := len(list()[1].Values); i < state.MaxContext; i++ {
		l.do("scanner@SecurityMSP", set(fmt.Sprintf("v%d", i), "1")...)
	}
	l.refused(provenance.Conflict, "scanner@SecurityMSP", set("onemore", "1")...)
	l.do("scanner@SecurityMSP", set("v9", "2")...)
}

func TestLabels(t *testing.T) {
	l := network(t)
	set := func(name, value string) []string { return []string{"label:Set", host, repo, name, value} }
	l.do("admin@VendorMSP", set("tier", "critical")...)
	l.do("admin@VendorMSP", set("owner/team", "payments")...)
	l.quiet("admin@VendorMSP", set("tier", "critical")...)
	l.quiet("admin@VendorMSP", set("nothing", "")...)
	l.refused(provenance.Forbidden, "admin@AuditMSP", set("tier", "low")...)
	l.refused(provenance.NotFound, "admin@VendorMSP", "label:Set", "other.example", repo, "tier", "low")
	l.refused(provenance.Invalid, "admin@VendorMSP", "label:Set", host, "../x", "tier", "low")
	for _, name := range []string{"", "Tier", "-a", strings.Repeat("a", 64)} {
		l.refused(provenance.Invalid, "admin@VendorMSP", set(name, "x")...)
	}
	for _, value := range []string{strings.Repeat("x", 257), "\xff", "a\nb"} {
		l.refused(provenance.Invalid, "admin@VendorMSP", set("tier", value)...)
	}
	l.do("admin@VendorMSP", set("owner/team", "")...)
	var got state.Labels
	if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "label:List", host, repo)), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"tier": "critical"}, got.Labels); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for i := 1; i < state.MaxLabels; i++ {
		l.do("admin@VendorMSP", set(fmt.Sprintf("l%d", i), "x")...)
	}
	l.refused(provenance.Conflict, "admin@VendorMSP", set("onemore", "x")...)
}
