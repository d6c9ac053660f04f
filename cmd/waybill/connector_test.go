package main

import (
	"context"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func (w *world) ListConnectors(context.Context) (*waybillv1.ListConnectorsResponse, error) {
	return &waybillv1.ListConnectorsResponse{Height: 9, Stale: w.stale, Connectors: []*waybillv1.Connector{
		{Name: "main", Kind: "distribution", Host: "reg.example:5000", Path: "/hooks/main", Authentication: "secret in a header", Weakness: "the secret travels in a header",
			Refused: 2, Accepted: 5, Duplicate: 1, Ignored: 4, LastEvent: at(8), LastRefused: at(9), LastRefusedStatus: 401},
		{Name: "ci", Kind: "generic", Host: "reg.example:5000", Path: "/hooks/ci", Authentication: "HMAC over time and body", Repositories: []string{"team-a/**", "team-b/app"}},
	}}, nil
}

func (w *world) TestConnector(_ context.Context, name, repository string) (*waybillv1.TestConnectorResponse, error) {
	w.asked += " " + repository
	step := func(name, result, detail, advice string) *waybillv1.ConnectorStep {
		return &waybillv1.ConnectorStep{Name: name, Result: result, Detail: detail, Advice: advice}
	}
	res := &waybillv1.TestConnectorResponse{
		Height: 9, Connector: name, Kind: "harbor", Host: "harbor.example", Path: "/hooks/" + name, Outcome: "recorded-as-test",
		Steps: []*waybillv1.ConnectorStep{
			step("hook", "ok", "https://localhost:8443/hooks/"+name+" answers", ""),
			step("authentication", "weak", "secret in a header, accepted", "the secret travels in a header"),
		},
		Settings: "Endpoint URL: https://<this gateway>/hooks/" + name + "\nAuth Header: Bearer <the secret>\n",
	}
	switch name {
	case "main":
		res.Steps = append(res.Steps, step("queue", "ok", "written and synced as an event is, and taken back", ""))
	case "narrow":
		res.Outcome = "failed"
		res.Steps = append(res.Steps, step("repositories", "failed", "403 {\"code\":\"WB_FORBIDDEN\"}\x1b[2J", "add it to repositories of connector narrow"))
	default:
		return nil, provenance.Errorf(provenance.NotFound, "no connector of the name %q", name)
	}
	return res, nil
}

func TestConnectors(t *testing.T) {
	for name, c := range map[string]struct {
		args string
		code int
	}{
		"connectors.txt":        {"connector list --as vendor/admin", exitYes},
		"connectors.json":       {"connector list --as vendor/admin -o json", exitYes},
		"connector-test.txt":    {"connector test main --as vendor/admin", exitYes},
		"connector-test.json":   {"connector test main --repository team/app --as vendor/admin -o json", exitYes},
		"connector-failed.txt":  {"connector test narrow --as vendor/admin", exitError},
		"connector-failed.json": {"connector test narrow --as vendor/admin -o json", exitError},
	} {
		w := newWorld(t)
		code, out, errOut := w.run(strings.Fields(c.args)...)
		if code != c.code || (errOut == "") != (code == exitYes) || strings.Contains(out, "\x1b") {
			t.Errorf("%s: exit %d, stderr %q", c.args, code, errOut)
		}
		if strings.Contains(c.args, "--repository") && !strings.HasSuffix(w.asked, " team/app") {
			t.Errorf("asked %q", w.asked)
		}
		golden(t, name, out)
	}
	w := newWorld(t)
	if code, _, errOut := w.run("connector", "test", "nothing", "--as", "vendor/admin"); code != exitUnknown || !strings.Contains(errOut, "no connector") {
		t.Errorf("exit %d, stderr %q", code, errOut)
	}
}

// Another organisation's gateway has other connectors: it is not asked instead.
func TestConnectorsAreTheOwnGateways(t *testing.T) {
	w := newWorld(t)
	for _, args := range []string{"connector list", "connector test main"} {
		if code, _, errOut := w.run(append(strings.Fields(args), "--as", "security/admin")...); code != exitUnavailable || !strings.Contains(errOut, "security") || w.asked != "" {
			t.Errorf("%s: exit %d, asked %q, stderr %q", args, code, w.asked, errOut)
		}
	}
	for _, args := range []string{"connector test", "connector test main more", "connector test main --repository Team", "connector list main"} {
		if code, _, _ := w.run(append(strings.Fields(args), "--as", "vendor/admin")...); code != exitUsage || w.asked != "" {
			t.Errorf("%s: exit %d, asked %q", args, code, w.asked)
		}
	}
}
