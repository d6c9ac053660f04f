package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func (w *world) ListPulls(_ context.Context, in *waybillv1.ListPullsRequest) (*waybillv1.ListPullsResponse, error) {
	w.asked = in.GetImage()
	if in.GetSince() != nil {
		w.asked += " since " + time.Since(in.GetSince().AsTime()).Round(time.Minute).String()
	}
	if in.GetPageToken() != "" {
		w.asked += " page " + in.GetPageToken()
	}
	if in.GetImage() == digestB {
		return &waybillv1.ListPullsResponse{Height: 9}, nil
	}
	gw := person1("gateway", "VendorMSP")
	return &waybillv1.ListPullsResponse{
		Height: 9, Stale: w.stale, Image: imageA, Digest: digestA, Total: 4, NextPageToken: "n3xt",
		Pulls: []*waybillv1.Pull{
			{Block: 8, TxId: "f00d", Time: at(8), Gateway: gw, Host: "reg.example:5000", Repository: "app", Tag: "1.0", Actor: "ci\x1b[2J", Address: "10.2.3.4", UserAgent: "containerd/2", OccurredAt: at(7), Source: "distribution"},
			{Block: 7, TxId: "beef", Time: at(7), Gateway: gw, Host: "reg.example:5000", Repository: "app", OccurredAt: at(6), Source: "harbor"},
			{Block: 6, TxId: "cafe", Time: at(6), Gateway: gw, Host: "reg.example:5000", Repository: "app", OccurredAt: at(5), Source: "quay", Blind: digestB, Withheld: "kept by VendorMSP"},
		},
	}, nil
}

func TestPullsCommand(t *testing.T) {
	w := newWorld(t)
	code, out, errOut := w.run("pulls", imageA, "--since", "24h", "--page", "abc")
	if code != 0 || errOut != "" || w.asked != imageA+" since 24h0m0s page abc" {
		t.Fatalf("exit %d, asked %q, stderr %q", code, w.asked, errOut)
	}
	for _, want := range []string{"ADDRESS", "10.2.3.4", "containerd/2", "reg.example:5000/app:1.0", "gateway@VendorMSP", "3 of 4 pulls on record", " (kept by VendorMSP)", "--page n3xt"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("a control character of the registry's reached the terminal:\n%q", out)
	}
	if _, out, _ := w.run("pulls", digestB); !strings.Contains(out, "no pull of it is on record") || w.asked != digestB {
		t.Errorf("asked %q:\n%s", w.asked, out)
	}
	if code, out, _ := w.run("pulls", imageA, "-o", "json"); code != 0 || !strings.Contains(out, `"userAgent": "containerd/2"`) || !strings.Contains(out, `"total": 4`) {
		t.Errorf("json: exit %d\n%s", code, out)
	}
	for _, bad := range []string{"pulls app:1", "pulls " + imageA + " --since -1h", "pulls " + imageA + " --since yesterday", "pulls"} {
		if code, _, _ := w.run(strings.Fields(bad)...); code != exitUsage {
			t.Errorf("%s: exit %d", bad, code)
		}
	}
}
