package contract

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func TestPushToRelease(t *testing.T) {
	l := network(t)
	image := provenance.SHA256Of([]byte("v1"))
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, push("1.0", "v1")); err != nil {
		t.Fatal(err)
	}
	ask := func(d provenance.Digest, stage string) policy.Verdict {
		return l.verdict("auditor@AuditMSP", "verdict:Ask", host, repo, d.String(), stage)
	}
	about := func(fn, stage string, more ...string) []string {
		return append([]string{fn, host, repo, image.String(), stage}, more...)
	}
	if v := ask(image, "staging"); v.Verdict != policy.Pending {
		t.Errorf("after the push: %+v", v)
	}
	if v := ask(provenance.SHA256Of([]byte("never pushed")), "staging"); v.Verdict != policy.Unknown {
		t.Errorf("never pushed: %+v", v)
	}
	l.refused(provenance.Conflict, "release-manager@SecurityMSP", about("promotion:Approve", "staging", "")...)
	l.do("release-manager@VendorMSP", about("promotion:Request", "staging")...)
	l.refused(provenance.Forbidden, "release-manager@VendorMSP", about("promotion:Approve", "staging", "")...)
	if v := l.verdict("release-manager@AuditMSP", about("promotion:Approve", "staging", "ok")...); v.Verdict != policy.Allowed {
		t.Errorf("after staging's approval: %+v", v)
	}

	l.do("release-manager@PlatformMSP", about("promotion:Request", "production")...)
	l.refused(provenance.Forbidden, "release-manager@PlatformMSP", about("promotion:Approve", "production", "")...)
	if v := l.verdict("release-manager@AuditMSP", about("promotion:Approve", "production", "")...); v.Verdict != policy.Pending {
		t.Errorf("one of two: %+v", v)
	}
	_, writes, err := l.invoke("release-manager@AuditMSP", nil, about("promotion:Approve", "production", "again")...)
	if err != nil || len(writes) != 0 {
		t.Errorf("the same organisation again: %d writes, %v; want success without a write", len(writes), err)
	}
	if v := l.verdict("release-manager@SecurityMSP", about("promotion:Approve", "production", "scanned")...); v.Verdict != policy.Allowed {
		t.Errorf("two of two: %+v", v)
	}
	if v := ask(image, "production"); v.Verdict != policy.Allowed || v.Policy.Version != 1 {
		t.Errorf("released: %+v", v)
	}

	if _, _, err := l.segment("gateway@VendorMSP", host, 2, push("1.0", "v2")); err != nil {
		t.Fatal(err)
	}
	var tag state.Tag
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "tag:Get", host, repo, "1.0")), &tag); err != nil {
		t.Fatal(err)
	}
	if tag.Previous != image || tag.Moves != 2 {
		t.Errorf("the moved tag: %+v", tag)
	}
	if v := ask(tag.Digest, "production"); v.Verdict != policy.Pending {
		t.Errorf("nobody approved what the tag names now: %+v", v)
	}

	l.do("scanner@SecurityMSP", "quarantine:Set", image.String(), "CVE")
	if v := ask(image, "production"); v.Verdict != policy.Quarantined {
		t.Errorf("quarantined: %+v", v)
	}
	l.refused(provenance.NotFound, "admin@AuditMSP", "quarantine:Lift", image.String(), "not ours to lift")
	l.do("admin@SecurityMSP", "quarantine:Lift", image.String(), "false alarm")
	if v := ask(image, "production"); v.Verdict != policy.Allowed {
		t.Errorf("lifted: %+v", v)
	}
}

func TestRejection(t *testing.T) {
	l := network(t)
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, push("1.0", "v1")); err != nil {
		t.Fatal(err)
	}
	about := func(fn string, more ...string) []string {
		return append([]string{fn, host, repo, provenance.SHA256Of([]byte("v1")).String(), "staging"}, more...)
	}
	l.do("publisher@VendorMSP", about("promotion:Request")...)
	l.refused(provenance.Invalid, "release-manager@AuditMSP", about("promotion:Reject", " ")...)
	for i, org := range orgs()[:3] {
		v := l.verdict("release-manager@"+org, about("promotion:Reject", "no")...)
		if want := map[bool]policy.Answer{false: policy.Pending, true: policy.Denied}[i == 2]; v.Verdict != want {
			t.Errorf("rejection %d: %s, want %s", i+1, v.Verdict, want)
		}
	}
	l.refused(provenance.Conflict, "release-manager@AuditMSP", about("promotion:Approve", "")...)
	l.do("publisher@VendorMSP", about("promotion:Request")...)
	if v := l.verdict("release-manager@AuditMSP", about("promotion:Approve", "second try")...); v.Verdict != policy.Allowed {
		t.Errorf("the second attempt: %+v", v)
	}
}

func TestRollbackAndRefusal(t *testing.T) {
	l := network(t)
	for i, content := range []string{"v1", "v2"} {
		if _, _, err := l.segment("gateway@VendorMSP", host, i, push("1.0", content)); err != nil {
			t.Fatal(err)
		}
	}
	about := func(fn, content string, more ...string) []string {
		return append([]string{fn, host, repo, provenance.SHA256Of([]byte(content)).String(), "staging"}, more...)
	}
	_, writes, err := l.invoke("release-manager@AuditMSP", nil, about("release:Release", "v1")...)
	if err != nil || len(writes) != 1 {
		t.Errorf("a refusal is recorded: %d writes, %v", len(writes), err)
	}
	for _, content := range []string{"v1", "v2"} {
		l.do("publisher@VendorMSP", about("promotion:Request", content)...)
		l.do("release-manager@AuditMSP", about("promotion:Approve", content, "")...)
	}
	if v := l.verdict("auditor@AuditMSP", about("verdict:Ask", "v1")...); v.Verdict != policy.Allowed || !strings.Contains(fmt.Sprint(v.Reasons), "superseded") {
		t.Errorf("superseded: %+v", v)
	}
	l.do("release-manager@AuditMSP", about("release:Release", "v1")...)
	if v := l.verdict("auditor@AuditMSP", about("verdict:Ask", "v2")...); !strings.Contains(fmt.Sprint(v.Reasons), "superseded") {
		t.Errorf("rolled back: %+v", v)
	}
}

func TestSegmentOnce(t *testing.T) {
	l := network(t)
	for round, want := range []int{3, 0} {
		_, writes, err := l.segment("gateway@VendorMSP", host, 7, push("1.0", "v1"))
		if err != nil || len(writes) != want {
			t.Errorf("round %d: %d writes, %v; want %d (segment, place, tag; then none)", round, len(writes), err, want)
		}
	}
	if _, _, err := l.segment("gateway@VendorMSP", host, 7, push("1.0", "other")); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("other bytes under a known name: %v", err)
	}
	if _, _, err := l.segment("gateway@AuditMSP", host, 8, push("1.0", "v1")); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("a gateway of another organisation: %v", err)
	}
	if _, _, err := l.segment("gateway@VendorMSP", "other.example", 8, push("1.0", "v1")); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("a registry nobody added: %v", err)
	}
	_, _, err := l.invoke("gateway@VendorMSP", map[string][]byte{"segment": []byte("x")}, "record:Segment", host, "lane-0", "9", strings.Repeat("0", 64))
	if provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("bytes that do not hash to the argument: %v", err)
	}
}

func TestIndexReleasesItsPlatforms(t *testing.T) {
	l := network(t)
	child, index := push("", "amd64"), push("1.0", "index")
	index.Children = []provenance.Digest{child.Digest}
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, child, index); err != nil {
		t.Fatal(err)
	}
	ask := func() policy.Answer {
		return l.verdict("auditor@AuditMSP", "verdict:Ask", host, repo, child.Digest.String(), "staging").Verdict
	}
	if got := ask(); got != policy.Pending {
		t.Errorf("before: %s", got)
	}
	l.do("publisher@VendorMSP", "promotion:Request", host, repo, index.Digest.String(), "staging")
	l.do("release-manager@AuditMSP", "promotion:Approve", host, repo, index.Digest.String(), "staging", "")
	if got := ask(); got != policy.Allowed {
		t.Errorf("released with its index: %s", got)
	}
	l.do("scanner@AuditMSP", "quarantine:Set", index.Digest.String(), "bad build")
	if got := ask(); got != policy.Quarantined {
		t.Errorf("quarantined with its index: %s", got)
	}
	l.do("admin@AuditMSP", "quarantine:Lift", index.Digest.String(), "rebuilt")
	l.do("scanner@AuditMSP", "quarantine:Set", child.Digest.String(), "bad platform")
	if v := l.verdict("auditor@AuditMSP", "verdict:Ask", host, repo, index.Digest.String(), "staging"); v.Verdict != policy.Quarantined {
		t.Errorf("an index with a quarantined platform: %s", v.Verdict)
	}
}

func TestPolicyNeedsAMajority(t *testing.T) {
	l := network(t)
	text := func(min int) string {
		return fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"default"},"spec":{"match":["reg.example:5000/team/**"],"stages":[{"name":"staging","approvals":{"min":%d}}]}}`, min)
	}
	apply := func(org, text string) (a Applied) {
		if err := json.Unmarshal([]byte(l.do("admin@"+org, "policy:Apply", text)), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	for range 5 { // one organisation, however often
		if a := apply("VendorMSP", text(3)); a.Active || len(a.Votes) != 1 {
			t.Fatalf("alone: %+v", a)
		}
	}
	apply("AuditMSP", text(2))
	apply("VendorMSP", text(2))
	if a := apply("SecurityMSP", text(2)); !a.Active || a.Version != 2 {
		t.Errorf("a majority: %+v", a)
	}
	apply("AuditMSP", text(3))
	if a := apply("SecurityMSP", text(3)); a.Active {
		t.Errorf("the vendor's old vote was for a change from version 1: %+v", a)
	}
	l.refused(provenance.Conflict, "admin@VendorMSP", "policy:Apply", strings.Replace(text(1), `"default"`, `"rival"`, 1))
	l.refused(provenance.Invalid, "admin@VendorMSP", "policy:Apply", strings.Replace(text(1), `"min"`, `"minimum"`, 1))
}

// TestAccess walks every transaction × every role × own and other
// organisation. The table is checked against the methods that exist, so that a
// new transaction cannot be forgotten here.
func TestAccess(t *testing.T) {
	methods := map[string]bool{}
	for name, contract := range map[string]any{
		"member": &MemberContract{}, "registry": &RegistryContract{}, "record": &RecordContract{}, "image": &ImageContract{}, "tag": &TagContract{},
		"promotion": &PromotionContract{}, "release": &ReleaseContract{}, "quarantine": &QuarantineContract{}, "policy": &PolicyContract{}, "verdict": &VerdictContract{},
	} {
		typ := reflect.TypeOf(contract)
		for i := range typ.NumMethod() {
			m := typ.Method(i)
			if m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[*Tx]() {
				methods[name+":"+m.Name] = true
			}
		}
	}
	for name := range methods {
		if _, ok := accessTable()[name]; !ok {
			t.Errorf("%s is callable but not in the role table", name)
		}
	}
	want := map[string][]state.Role{
		"member:Join": {state.RoleAdmin}, "member:Grant": {state.RoleAdmin}, "member:Revoke": {state.RoleAdmin}, "registry:Add": {state.RoleAdmin},
		"record:Segment": {state.RoleGateway}, "promotion:Request": {state.RoleReleaseManager, state.RolePublisher},
		"promotion:Approve": {state.RoleReleaseManager}, "promotion:Reject": {state.RoleReleaseManager}, "release:Release": {state.RoleReleaseManager},
		"quarantine:Set":  {state.RoleAdmin, state.RoleScanner, state.RoleReleaseManager},
		"quarantine:Lift": {state.RoleAdmin, state.RoleReleaseManager}, "policy:Apply": {state.RoleAdmin},
	}
	l := network(t)
	people := []string{"stranger"}
	for _, r := range state.Roles() {
		people = append(people, string(r))
	}
	for name, rule := range accessTable() {
		if !methods[name] {
			t.Errorf("%s is in the role table but does not exist", name)
		}
		args := make([]string, rule.args)
		for i := range args {
			args[i] = "?"
		}
		for _, org := range []string{"VendorMSP", "AuditMSP", "OutsiderMSP"} {
			for _, person := range people {
				_, _, err := l.invoke(person+"@"+org, nil, append([]string{name}, args...)...)
				roles, restricted := want[name]
				allowed := !restricted || slices.Contains(roles, state.Role(person))
				if org == "OutsiderMSP" {
					// No grants there, and no membership: only an admin may join, anybody may read.
					allowed = !restricted || (name == "member:Join" && person == "admin")
				}
				if refused := provenance.CodeOf(err) == provenance.Forbidden; refused == allowed {
					t.Errorf("%s by %s@%s: %v, want allowed %v", name, person, org, err, allowed)
				}
			}
		}
		l.refused(provenance.Invalid, "admin@VendorMSP", append([]string{name, "one too many"}, args...)...)
	}
	for _, name := range []string{"member:join", "member:Init", "Member:Join", "promotion:GetName", "record:segment"} {
		if _, _, err := l.invoke("admin@VendorMSP", nil, name); err == nil {
			t.Errorf("%q was not refused", name)
		}
	}
	l.do("admin@AuditMSP", "member:Revoke", "scanner", "scanner")
	l.refused(provenance.Forbidden, "scanner@AuditMSP", "quarantine:Set", provenance.SHA256Of(nil).String(), "no longer")
}
