package main

import (
	"context"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func person1(name, msp string) *waybillv1.Person { return &waybillv1.Person{Name: name, Msp: msp} }

func (w *world) ListHistory(_ context.Context, in *waybillv1.ListHistoryRequest) (*waybillv1.ListHistoryResponse, error) {
	w.asked = in.GetImage()
	gw := person1("gateway", "VendorMSP")
	e := func(block uint64, kind string, by *waybillv1.Person) *waybillv1.HistoryEntry {
		return &waybillv1.HistoryEntry{Block: block, TxId: "f00d", Kind: kind, By: by, Time: at(int(block)), Host: "reg.example:5000", Repository: "app", Digest: digestA}
	}
	push, moved, promotion, hold := e(3, "push", gw), e(5, "push", gw), e(6, "promotion", person1("publisher", "VendorMSP")), e(9, "hold", person1("scanner", "SecurityMSP"))
	push.Tag, push.Actor, push.Detail = "1.0", "alice\x1b[2J", "pushed as 1.0"
	moved.Tag, moved.Previous, moved.Digest = "1.0", digestA, digestB
	promotion.Stage, promotion.Detail = "production", "promotion to production requested"
	hold.Host, hold.Repository, hold.Detail = "", "", "quarantined by SecurityMSP: CVE"
	return &waybillv1.ListHistoryResponse{Height: 9, Stale: w.stale, Entries: []*waybillv1.HistoryEntry{push, moved, promotion, hold}, NextPageToken: "n3xt"}, nil
}

func (w *world) GetStatus(context.Context) (*waybillv1.GetStatusResponse, error) {
	return &waybillv1.GetStatusResponse{
		Height: 9, Stale: w.stale, Org: "VendorMSP", Channel: "waybill", PeerHeight: 9, LastBlockAt: at(9),
		Queue: &waybillv1.QueueStats{Pending: 2, Dead: 1, Unusable: 1, UnusableDropped: 4, Done: 40, OldestPending: at(8)}, WaitingReason: "too few peers endorse",
		WeakConnectors: []*waybillv1.WeakConnector{{Name: "main", Kind: "distribution", Weakness: "the secret travels in a header"}},
	}, nil
}

func (w *world) GetImage(_ context.Context, image string) (*waybillv1.GetImageResponse, error) {
	if image == digestB {
		return &waybillv1.GetImageResponse{Image: image, Digest: digestB, Places: []*waybillv1.Place{{Deleted: true}}}, nil
	}
	return &waybillv1.GetImageResponse{
		Height: 9, Image: image, Digest: digestA, Pulls: 3, LastPull: at(7),
		Places:   []*waybillv1.Place{{Host: "reg.example:5000", Repository: "app", Children: []string{digestB, digestB}, Msp: "VendorMSP", At: at(1), Tags: []string{"1.0", "latest"}}},
		Holds:    []*waybillv1.Hold{{Msp: "SecurityMSP", By: person1("scanner", "SecurityMSP"), Reason: "CVE", At: at(9)}, {Msp: "AuditMSP", Lifted: true}},
		Releases: []*waybillv1.Release{{Stage: "production", Host: "reg.example:5000", Repository: "app", Current: true, Policy: &waybillv1.PolicyVersion{Name: "default", Version: 1}, Approvers: []*waybillv1.Person{person1("release-manager", "SecurityMSP"), person1("release-manager", "PlatformMSP")}, At: at(8)}},
		Promotions: []*waybillv1.Promotion{{
			Stage: "production", Host: "reg.example:5000", Repository: "app", Digest: digestA, Requester: person1("publisher", "VendorMSP"), At: at(6), Status: "released",
			Approvals: []*waybillv1.Approval{{By: person1("release-manager", "SecurityMSP"), Reason: "tested", At: at(7)}},
		}},
	}, nil
}

func (w *world) ListPromotions(_ context.Context, in *waybillv1.ListPromotionsRequest) (*waybillv1.ListPromotionsResponse, error) {
	w.asked = in.GetStage()
	return &waybillv1.ListPromotionsResponse{Height: 9}, nil
}

func (w *world) ListPolicies(context.Context) (*waybillv1.ListPoliciesResponse, error) {
	return &waybillv1.ListPoliciesResponse{
		Height:   9,
		Policies: []*waybillv1.Policy{{Name: "default", Version: 1, Match: []string{"reg.example:5000/**"}, At: at(2), Voters: []*waybillv1.Person{person1("admin", "VendorMSP")}, Active: true}},
		Proposals: []*waybillv1.Proposal{{
			Id: "0123456789abcdef", Kind: "policy", Name: "default", Status: "open", Needed: 3, At: at(3), By: person1("admin", "AuditMSP"),
			Votes: []*waybillv1.Vote{{Msp: "AuditMSP", Yes: true}, {Msp: "SecurityMSP"}},
		}},
	}, nil
}

func (w *world) GetPolicy(context.Context, string, int) (*waybillv1.GetPolicyResponse, error) {
	if w.shown != nil {
		return &waybillv1.GetPolicyResponse{Height: 9, Policy: w.shown}, nil
	}
	return &waybillv1.GetPolicyResponse{Height: 9, Policy: &waybillv1.Policy{
		Name: "default", Version: 1, At: at(2), Active: true, Text: `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy"}`,
	}}, nil
}

func (w *world) ListMembers(context.Context) (*waybillv1.ListMembersResponse, error) {
	return &waybillv1.ListMembersResponse{
		Height:  9,
		Members: []*waybillv1.Member{{Msp: "VendorMSP", Name: "Vendor", By: person1("admin", "VendorMSP"), At: at(0)}},
		Grants:  []*waybillv1.Grant{{Msp: "VendorMSP", Identity: "alice", Role: "scanner", Revoked: true, By: person1("admin", "VendorMSP"), At: at(1)}},
	}, nil
}

func (w *world) ListRegistries(context.Context) (*waybillv1.ListRegistriesResponse, error) {
	return &waybillv1.ListRegistriesResponse{Height: 9, Registries: []*waybillv1.Registry{{Host: "reg.example:5000", Owner: "VendorMSP", Kind: "distribution", By: person1("admin", "VendorMSP"), At: at(1)}}}, nil
}

func (w *world) ListDeadLetters(context.Context, *waybillv1.ListDeadLettersRequest) (*waybillv1.ListDeadLettersResponse, error) {
	return &waybillv1.ListDeadLettersResponse{Letters: []*waybillv1.DeadLetter{{Id: 7, Host: "reg.example:5000", Connector: "main", Action: "push", Repository: "app", Tag: "1.0", Digest: digestA, Attempts: 5, Reason: "gone", ReceivedAt: at(3)}}}, nil
}

func (w *world) ListUnusable(context.Context, *waybillv1.ListUnusableRequest) (*waybillv1.ListUnusableResponse, error) {
	return &waybillv1.ListUnusableResponse{
		Events: []*waybillv1.UnusableEvent{{Id: 9, Host: "reg.example:5000", Connector: "main", Reason: "events[0]: target.digest: want sha256 or sha512", Sha256: digestA[len("sha256:"):], Size: 829, Times: 3, ReceivedAt: at(1), LastAt: at(3)}},
		Counts: []*waybillv1.UnusableCount{{Connector: "main", Kept: 1, Dropped: 4}, {Connector: "other", Kept: 2}},
	}, nil
}

func (w *world) RemoveUnusable(_ context.Context, in *waybillv1.RemoveUnusableRequest) (*waybillv1.RemoveUnusableResponse, error) {
	return &waybillv1.RemoveUnusableResponse{Removed: int64(len(in.GetIds()))}, nil
}

func (w *world) RetryDeadLetters(_ context.Context, in *waybillv1.RetryDeadLettersRequest) (*waybillv1.RetryDeadLettersResponse, error) {
	return &waybillv1.RetryDeadLettersResponse{Retried: int64(len(in.GetIds()))}, nil
}

func TestReadsForPeople(t *testing.T) {
	w := newWorld(t)
	for name, args := range map[string]string{
		"history.txt":    "history reg.example:5000/app:1.0",
		"status.txt":     "status",
		"image.txt":      "status " + imageA,
		"promotions.txt": "promotions --stage production",
		"policies.txt":   "policy list",
		"policy.txt":     "policy show default",
		"members.txt":    "member list",
		"registries.txt": "registry list",
		"queue.txt":      "queue list",
		"retry.txt":      "queue retry 7 8",
		"unusable.txt":   "queue unusable",
		"remove.txt":     "queue remove 9",
		"history.json":   "history reg.example:5000/app -o json",
		"status.json":    "status -o json",
	} {
		code, out, errOut := w.run(strings.Fields(args)...)
		if code != 0 || errOut != "" {
			t.Errorf("%s: exit %d, stderr %q", args, code, errOut)
		}
		golden(t, name, out)
	}
}

func TestStatusOfAStaleGateway(t *testing.T) {
	w := newWorld(t)
	w.stale = true
	for _, format := range []string{"table", "json"} {
		if code, out, errOut := w.run("status", "-o", format); code != exitUnavailable || out == "" || !strings.Contains(errOut, "behind") {
			t.Errorf("%s: exit %d, stderr %q", format, code, errOut)
		}
	}
}

func TestStatusOfAnImageThatIsNowhere(t *testing.T) {
	w := newWorld(t)
	if code, out, errOut := w.run("status", digestB); code != exitUnknown || out == "" || errOut != "" {
		t.Errorf("exit %d, stderr %q, out:\n%s", code, errOut, out)
	}
}

func TestHistoryAcceptsWhatTheGatewayDoes(t *testing.T) {
	w := newWorld(t)
	for _, ok := range []string{digestA, imageA, "reg.example/app:1.0", "reg.example/app", "localhost/a/b"} {
		if code, _, errOut := w.run("history", ok); code != 0 || w.asked != ok {
			t.Errorf("%s: exit %d, asked %q, stderr %q", ok, code, w.asked, errOut)
		}
	}
	for _, bad := range []string{"app", "app:1.0", "reg.example/App", "sha256:xyz", ""} {
		if code, _, _ := w.run("history", bad); code != exitUsage {
			t.Errorf("%q: exit %d", bad, code)
		}
	}
}

func TestWhoAnswers(t *testing.T) {
	const vendor, security = "127.0.0.1:7056", "127.0.0.1:7066"
	for _, tt := range []struct {
		name, flags string
		running     []string
		asked       string
		errOut      string
		code        int
	}{
		{"nobody named: the first gateway, as its auditor, quietly", "", []string{vendor, security}, "vendor/auditor at " + vendor, "", 0},
		{"the first is not running", "", []string{security}, "security/auditor at " + security, "waybill: vendor's gateway is not running; security's answers\n", 0},
		{"one's own", "--as security/scanner", []string{vendor, security}, "security/scanner at " + security, "", 0},
		{"one's own is not running", "--as security/scanner", []string{vendor}, "security/scanner at " + vendor, "waybill: security's gateway is not running; vendor's answers\n", 0},
		{"named by address", "--as security/scanner --gateway " + vendor, nil, "security/scanner at " + vendor, "", 0},
		{"named by address alone", "--gateway " + security, nil, "security/auditor at " + security, "", 0},
		{"a queue is one's own", "--as security/admin --dir d", []string{vendor}, "", "waybill: security's gateway is not running, and another's queue is not its own\nhint: start one with: bin/waybill-gateway run --config d/orgs/security/gateway/config.yaml (the first time: init, then run)\n", exitUnavailable},
		{"none", "--as security/scanner --dir d", nil, "", "waybill: no organisation's gateway is running\nhint: start one with: bin/waybill-gateway run --config d/orgs/security/gateway/config.yaml (the first time: init, then run)\n", exitUnavailable},
	} {
		w := newWorld(t)
		command := "registry list"
		if strings.HasPrefix(tt.name, "a queue") {
			command = "queue list"
		}
		w.running = map[string]bool{}
		for _, r := range tt.running {
			w.running[r] = true
		}
		code, _, errOut := w.run(strings.Fields(command + " " + tt.flags)...)
		if code != tt.code || w.asked != tt.asked || errOut != tt.errOut {
			t.Errorf("%s: exit %d, asked %q, stderr %q", tt.name, code, w.asked, errOut)
		}
	}
}

func TestUsage(t *testing.T) {
	w := newWorld(t)
	for args, want := range map[string]string{
		"verfy":                             "waybill: waybill has no command \"verfy\"\nhint: did you mean verify?\n",
		"network strat":                     "waybill: waybill network has no command \"strat\"\n",
		"verify --stage x":                  "waybill: IMAGE is missing\nhint: see waybill verify --help\n",
		"verify " + imageA:                  "waybill: required flag(s) \"stage\" not set\nhint: see waybill verify --help\n",
		"verify app:1 --stage x":            "waybill: image \"app:1\": want host/repository@digest or host/repository:tag, with the registry's host\nhint: IMAGE is host/",
		"verify " + imageA + " y --stage x": "waybill: \"y\" is one argument too many\n",
		"quarantine " + imageA:              "waybill: required flag(s) \"reason\" not set\n",
		"version x":                         "waybill: waybill version takes no argument, not \"x\"\n",
		"version -o xml":                    "waybill: invalid argument \"xml\" for \"-o, --output\" flag: want table, json or yaml\n",
		"queue retry":                       "waybill: want the ids of waybill queue list, or --all\n",
		"queue retry 7 --all":               "waybill: want the ids of waybill queue list, or --all\n",
		"queue remove":                      "waybill: want the ids of waybill queue unusable, or --all\n",
		"queue retry x":                     "waybill: id \"x\" is not a number from waybill queue list\n",
		"status --bogus":                    "waybill: unknown flag: --bogus\nhint: see waybill status --help\n",
	} {
		code, out, errOut := w.run(strings.Fields(args)...)
		if code != exitUsage || out != "" || !strings.HasPrefix(errOut, want) {
			t.Errorf("%s: exit %d, out %q, stderr %q", args, code, out, errOut)
		}
	}
}
