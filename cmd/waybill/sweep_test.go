package main

import (
	"context"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// sweeps answers with one state after the other, the last one for ever.
type sweeps struct {
	t      *testing.T
	asked  []string
	states []*waybillv1.GetSweepsResponse
	errs   []error // before them
	joined bool
}

func (s *sweeps) StartSweep(_ context.Context, registry string, dry bool) (*waybillv1.StartSweepResponse, error) {
	what := "start " + registry
	if dry {
		what += " dry"
	}
	s.asked = append(s.asked, what)
	if registry == "partner.example" {
		return nil, provenance.Errorf(provenance.Forbidden, "registry partner.example belongs to PartnerMSP; its own gateways sweep it")
	}
	return &waybillv1.StartSweepResponse{Height: 9, Sweeps: []*waybillv1.StartedSweep{{Registry: "reg.example:5000", Id: "s2", Joined: s.joined}}}, nil
}

func (s *sweeps) GetSweeps(_ context.Context, registry string) (*waybillv1.GetSweepsResponse, error) {
	s.asked = append(s.asked, "get "+registry)
	if len(s.errs) > 0 {
		err := s.errs[0]
		s.errs = s.errs[1:]
		return nil, err
	}
	state := s.states[0]
	if len(s.states) > 1 {
		s.states = s.states[1:]
	}
	return state, nil
}

func sweepOf(change func(r *waybillv1.RegistrySweeps)) *waybillv1.GetSweepsResponse {
	r := &waybillv1.RegistrySweeps{
		Registry: "reg.example:5000",
		Last: &waybillv1.Sweep{
			Id: "s2", StartedAt: at(3), FinishedAt: at(6), Done: 4, Total: 4, Tags: 12, Images: 30, Requests: 51,
			Notes:  []string{"2 names in the catalogue are no repository's"},
			Counts: []*waybillv1.SweepCount{{Kind: "moved", Count: 1}, {Kind: "other-bytes", Count: 1}, {Kind: "tag-gone", Count: 3}, {Kind: "unrecorded", Count: 1}},
			Findings: []*waybillv1.SweepFinding{
				{Kind: "moved", Repository: "app", Tag: "1.0", Digest: digestB, Recorded: digestA, At: at(5), Outcome: "queued"},
				{Kind: "tag-gone", Repository: "app", Tag: "old\x1b[2J", Recorded: digestA, At: at(5), Outcome: "queued"},
				{Kind: "other-bytes", Repository: "app", Digest: digestA, At: at(5), Outcome: "alarm", Detail: "the registry sends bytes of another"},
				{Kind: "unrecorded", Repository: "app", Digest: digestB, At: at(5), Outcome: "queued", Detail: "refers to another"},
			},
		},
	}
	if change != nil {
		change(r)
	}
	return &waybillv1.GetSweepsResponse{Height: 9, Registries: []*waybillv1.RegistrySweeps{r}}
}

func TestSweep(t *testing.T) {
	running := func(done int32, doing string) *waybillv1.GetSweepsResponse {
		return sweepOf(func(r *waybillv1.RegistrySweeps) {
			r.Last.Id = "s1"
			r.Running = &waybillv1.Sweep{Id: "s2", StartedAt: at(3), Done: done, Total: 4, Tags: 7, Waiting: 2, Doing: doing}
		})
	}
	other := &waybillv1.RegistrySweeps{Registry: "other.example", Running: &waybillv1.Sweep{Id: "s9"}}
	ended := sweepOf(nil)
	ended.Registries = append(ended.Registries, other)
	down := provenance.Errorf(provenance.Unavailable, "connection refused")

	w := newWorld(t)
	s := &sweeps{t: t, joined: true, errs: []error{down}, states: []*waybillv1.GetSweepsResponse{running(1, ""), running(4, "gives 2 differences 2m0s"), ended}}
	w.sweepAPI = s
	code, out, errOut := w.run("sweep", "--as", "vendor/admin")
	if code != exitYes || strings.Contains(out, "other.example") || strings.Contains(out, "\x1b") {
		t.Errorf("%d %s%s", code, out, errOut)
	}
	golden(t, "sweep.txt", out)
	for _, want := range []string{"following it", "1 of 4 repositories, 7 tags, 0 images, 2 to look at again\n", "; gives 2 differences 2m0s\n"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("no %q in %s", want, errOut)
		}
	}
	if got := strings.Join(s.asked, ", "); got != "start , get , get , get , get " {
		t.Errorf("asked %s", got)
	}

	w.sweepAPI = &sweeps{t: t, states: []*waybillv1.GetSweepsResponse{sweepOf(func(r *waybillv1.RegistrySweeps) {
		r.Last.DryRun, r.Last.Counts, r.Last.Findings, r.Last.Notes = true, nil, nil, nil
	})}}
	code, out, _ = w.run("sweep", "reg.example:5000", "--dry-run", "--as", "vendor/admin", "-o", "json")
	if code != exitYes || !strings.Contains(out, `"dryRun": true`) {
		t.Errorf("%d %s", code, out)
	}
	golden(t, "sweep.json", out)

	w.sweepAPI = &sweeps{t: t, states: []*waybillv1.GetSweepsResponse{sweepOf(func(r *waybillv1.RegistrySweeps) { r.Last.Error = "the registry does not answer" })}}
	if code, out, errOut = w.run("sweep", "--as", "vendor/admin"); code != exitUnavailable || !strings.Contains(out, "not finished") || !strings.Contains(errOut, "was not finished") {
		t.Errorf("%d %s%s", code, out, errOut)
	}

	s = &sweeps{t: t, states: []*waybillv1.GetSweepsResponse{sweepOf(func(r *waybillv1.RegistrySweeps) { r.Alerts, r.Next = r.Last.GetFindings(), at(59) })}}
	w.sweepAPI = s
	code, out, _ = w.run("sweep", "--last", "--as", "vendor/admin")
	golden(t, "sweep-last.txt", out)
	if code != exitYes || strings.Join(s.asked, ", ") != "get " {
		t.Errorf("%d, asked %s", code, s.asked)
	}
	s = &sweeps{t: t}
	w.sweepAPI = s
	if code, out, _ = w.run("sweep", "--detach", "--as", "vendor/admin"); code != exitYes || !strings.Contains(out, "waybill sweep --last") || len(s.asked) != 1 {
		t.Errorf("%d %s", code, out)
	}
	if code, _, errOut = w.run("sweep", "partner.example", "--as", "vendor/admin"); code != exitError || !strings.Contains(errOut, "belongs to PartnerMSP") {
		t.Errorf("%d %s", code, errOut)
	}
	for _, args := range []string{"sweep a b", "sweep http://x", "sweep --last --dry-run"} {
		if code, _, errOut := w.run(strings.Fields(args)...); code != exitUsage {
			t.Errorf("%s: %d %s", args, code, errOut)
		}
	}
}
