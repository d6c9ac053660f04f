package evidence

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func vsaOf(change func(m)) m {
	predicate := m{
		"verifier": m{"id": "https://verifier.example/v1"}, "timeVerified": "2026-11-20T06:00:00Z", "resourceUri": "reg.example/team/app:1",
		"policy": m{"uri": "https://policies.example/p"}, "verificationResult": "PASSED", "verifiedLevels": []any{"SLSA_BUILD_LEVEL_3"},
	}
	change(predicate)
	return predicate
}

func TestVerificationSummary(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	signed := func(predicate m) Request {
		return request(FormatDSSE, toJSON(t, dsseEnvelope(t, inToto(t, vsaPredicate, predicate, m{"sha256": imageHex}), signer)))
	}
	for resource, repository := range map[string]string{
		"reg.example/team/app":                      "reg.example/team/app",
		"oci://reg.example/team/app:1":              "reg.example/team/app",
		"docker://reg.example/team/app":             "reg.example/team/app",
		"https://reg.example:5000/app:1.2":          "reg.example:5000/app",
		"reg.example/team/app:1@sha256:" + imageHex: "reg.example/team/app",
		"pkg:oci/app@sha256%3A" + imageHex + "?repository_url=reg.example/team/app&tag=1": "reg.example/team/app",
		"pkg:docker/team/app@1?repository_url=reg.example":                                "reg.example/team/app",
		"pkg:oci/app@sha256%3A" + imageHex:                                                "",
		"pkg:oci/app?repository_url=pkg%3Aoci%2Fapp":                                      "",
		"pkg:golang/reg.example/team/app@1?repository_url=reg.example/team/app":           "",
		"git+https://git.example/team/app":                                                "",
		"app:1":                                                                           "",
		"https://reg.example/team/app?x=1":                                                "",
		"reg.example/team/app#":                                                           "",
		"reg.example/team/app/../other":                                                   "",
		"HTTPS://reg.example/team/app":                                                    "",
		"https://reg.example/team/app@sha256:" + imageHex + "@sha256:" + imageHex:         "",
		"https://user:secret@reg.example/team/app":                                        "",
		"reg.example/team/app:1:2":                                                        "",
		"https://https://reg.example/team/app":                                            "",
		"pkg:oci/app@sha256%3A" + imageHex + "?repository_url=reg.example/a&repository_url=other/b": "",
	} {
		got := accepted(t, signed(vsaOf(func(p m) { p["resourceUri"] = resource })), &k)
		if got.Type != TypeVSA || !strings.Contains(string(got.Facts), `"repository":"`+repository+`"`) {
			t.Errorf("%s: %s %s, want repository %q", resource, got.Type, got.Facts, repository)
		}
	}
	for why, change := range map[string]func(m){
		"verificationResult":    func(p m) { p["verificationResult"] = "passed" },
		"verifier is missing":   func(p m) { delete(p, "verifier") },
		"policy is missing":     func(p m) { p["policy"] = m{} },
		"resourceUri is":        func(p m) { p["resourceUri"] = 7 },
		"a list of 0":           func(p m) { p["verifiedLevels"] = []any{} },
		"a list of 33":          func(p m) { p["verifiedLevels"] = make([]any, 33) },
		"lists hold texts":      func(p m) { p["verifiedLevels"] = []any{"a", nil} },
		"is longer than":        func(p m) { p["slsaVersion"] = strings.Repeat("1", 257) },
		"the document is about": func(p m) { p["resourceUri"] = "reg.example/team/app@sha256:" + otherHex },
		"is about sha256:":      func(p m) { p["resourceUri"] = "pkg:oci/app@sha256%3A" + otherHex },
	} {
		refused(t, signed(vsaOf(change)), &k, why)
	}
	// A summary about another image is none about this one, whatever it names.
	other := inToto(t, vsaPredicate, vsaOf(func(m) {}), m{"sha256": otherHex})
	refused(t, request(FormatDSSE, toJSON(t, dsseEnvelope(t, other, signer))), &k, "is about")
	old := inToto(t, "https://slsa.dev/verification_summary/v0.2", vsaOf(func(m) {}), m{"sha256": imageHex})
	if got := accepted(t, request(FormatDSSE, toJSON(t, dsseEnvelope(t, old, signer))), &k); got.Type == TypeVSA {
		t.Error("v0.2 is another format and was read as v1")
	}
}

func TestSimpleVerificationResult(t *testing.T) {
	svr := func(change func(m)) []byte {
		predicate := m{"verifier": m{"id": "https://verifier.example"}, "timeCreated": "2026-11-20T06:00:00Z", "properties": []any{"B", "A", "B"}}
		change(predicate)
		return inToto(t, svrPredicate+"v0.1", predicate, m{"sha256": imageHex})
	}
	got := accepted(t, request(FormatPlain, svr(func(p m) { p["verifier"].(m)["policy"] = m{"name": "release", "uri": "https://policies.example"} })), nil)
	want := `{"policies":["https://policies.example"],"properties":["A","B"],"verifier":"https://verifier.example"}`
	if got.Type != TypeSVR || string(got.Facts) != want {
		t.Errorf("%s %s", got.Type, got.Facts)
	}
	for why, change := range map[string]func(m){
		"a list of 0":         func(p m) { p["properties"] = []any{} },
		"a list of 0: want 1": func(p m) { p["properties"] = "A" },
		"timeCreated":         func(p m) { delete(p, "timeCreated") },
		"verifier is missing": func(p m) { p["verifier"] = m{} },
		"lists hold texts":    func(p m) { p["verifier"].(m)["policies"] = []any{m{}} },
	} {
		refused(t, request(FormatPlain, svr(change)), nil, why)
	}
}

// FuzzVerificationSummary: no repository is found that the URI does not spell out.
func FuzzVerificationSummary(f *testing.F) {
	for _, seed := range []string{"reg.example/team/app:1", "oci://reg.example/a@sha256:" + imageHex, "pkg:docker/a/b?repository_url=reg.example", "pkg:oci/a?repository_url=reg.example%2Fa"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		document, err := json.Marshal(vsaOf(func(p m) { p["resourceUri"] = uri }))
		if err != nil {
			t.Fatal(err)
		}
		facts, _, _, err := Extract(TypeVSA, document, 0)
		if err != nil {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Fatal(err)
			}
			return
		}
		repository := str(facts, "repository")
		if repository == "" {
			return
		}
		ref, err := provenance.ParseReference(repository + ":x")
		if err != nil || string(ref.Host)+"/"+string(ref.Repository) != repository {
			t.Fatalf("%q: repository %q", uri, repository)
		}
		if !strings.HasPrefix(uri, "pkg:") && !strings.Contains(strings.ToLower(uri), strings.ToLower(repository)) {
			t.Fatalf("%q: repository %q", uri, repository)
		}
	})
}
