package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newVerifyCmd(a *app) *cobra.Command {
	return newAskCmd(a, "verify IMAGE --stage STAGE", "Ask whether an image may run in a stage",
		"The exit code is the answer: a pipeline needs nothing else.", a.writeVerdict)
}

func newExplainCmd(a *app) *cobra.Command {
	return newAskCmd(a, "explain IMAGE --stage STAGE", "Say of each rule how it stands and who can fix it",
		"The exit code is that of verify.", a.writeExplanation)
}

func newAskCmd(a *app, use, short, more string, write func(io.Writer, policy.Verdict)) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: use, Short: short, Long: short + ".\n\n" + more + " " + exitHelp, Args: operands("IMAGE"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			v, err := a.verdict(ctx, args[0], stage)
			if err != nil {
				return err
			}
			a.stageHint(v)
			if err := a.emit(v, func(w io.Writer) { write(w, v) }); err != nil {
				return err
			}
			return answered(v)
		}),
	}
	cmd.Flags().StringVar(&stage, "stage", "", "the stage, as the policy names it")
	require(cmd, "stage")
	return cmd
}

// verdict asks a gateway. A stale gateway's "allowed" is no answer.
func (a *app) verdict(ctx context.Context, image, stage string) (policy.Verdict, error) {
	ref, err := parseImage(image)
	if err != nil {
		return policy.Verdict{}, err
	}
	door, err := a.ask(ctx)
	if err != nil {
		return policy.Verdict{}, err
	}
	defer func() { _ = door.Close() }() // only read from
	if ref, err = a.resolve(ctx, door, ref); err != nil {
		return policy.Verdict{}, err
	}
	res, err := door.GetVerdict(ctx, byDigest(ref), stage)
	if err != nil {
		return policy.Verdict{}, err
	}
	v, err := verdictOf(res)
	if err == nil && res.GetStale() {
		a.notice("this gateway is behind the ledger: the answer may be old")
		if v.Verdict == policy.Allowed {
			return v, provenance.Errorf(provenance.Unavailable, "the gateway is stale at block %d", v.Height)
		}
	}
	return v, err
}

// byDigest names an image by its digest alone, whatever tag led to it.
func byDigest(ref provenance.Reference) string {
	ref.Tag = ""
	return ref.String()
}

// verdictOf reads the ledger's own verdict from the API's answer.
func verdictOf(res *waybillv1.GetVerdictResponse) (policy.Verdict, error) {
	d, err := provenance.ParseDigest(res.GetDigest())
	if err != nil {
		return policy.Verdict{}, fmt.Errorf("read the gateway's verdict: %w", err)
	}
	v := policy.Verdict{
		Image: res.GetImage(), Digest: d, Stage: res.GetStage(),
		Verdict: policy.Answer(res.GetVerdict()), Height: res.GetHeight(), Reasons: []policy.Reason{},
	}
	if p := res.GetPolicy(); p != nil {
		v.Policy = &policy.Version{Name: p.GetName(), Version: int(p.GetVersion())}
	}
	for _, r := range res.GetReasons() {
		v.Reasons = append(v.Reasons, policy.Reason{Rule: r.GetRule(), Outcome: policy.Outcome(r.GetOutcome()), Detail: r.GetDetail(), Fix: r.GetFix()})
	}
	v.EvidenceSet, v.Warning = res.GetEvidenceSet(), res.GetWarning()
	if res.GetUntil() != nil {
		until := res.GetUntil().AsTime().UTC()
		v.Until = &until
	}
	for _, c := range res.GetChildren() {
		child, err := provenance.ParseDigest(c.GetDigest())
		if err != nil {
			return v, fmt.Errorf("read the gateway's verdict: %w", err)
		}
		v.Children = append(v.Children, policy.ChildVerdict{Digest: child, Verdict: policy.Answer(c.GetVerdict())})
	}
	return v, nil
}

// stageHint says which stage was meant where the policy has none of that name.
func (a *app) stageHint(v policy.Verdict) {
	if near := nearStage(v); near != "" {
		fmt.Fprintf(a.errOut, "hint: %s\n", clean(near))
	}
}

func nearStage(v policy.Verdict) string {
	for _, r := range v.Reasons {
		if r.Rule == "stage" && r.Outcome != policy.Satisfied {
			_, names, _ := strings.Cut(r.Fix, ": ")
			return didYouMean(v.Stage, strings.Split(names, ", "))
		}
	}
	return ""
}

// meant adds to the refusal of an unknown stage which one was meant, where a
// gateway can be asked. Whatever goes wrong with that is not the user's trouble.
func (a *app) meant(ctx context.Context, err error, ref provenance.Reference, stage string) error {
	if provenance.CodeOf(err) != provenance.NotFound || !strings.Contains(err.Error(), "has no stage") {
		return err
	}
	door, failed := a.ask(ctx)
	if failed != nil {
		return err
	}
	defer func() { _ = door.Close() }() // only read from
	res, failed := door.GetVerdict(ctx, byDigest(ref), stage)
	if failed != nil {
		return err
	}
	v, failed := verdictOf(res)
	if near := nearStage(v); failed == nil && near != "" {
		return hint(err, "%s", near)
	}
	return err
}
