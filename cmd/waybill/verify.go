package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// askHelp says whose word an answer is.
const askHelp = `

The peer of your own organisation answers (--as; where nobody is named, that of
the folder's first organisation, and a line on standard error says so). Which
gateway happens to run does not matter.

With --gateway ADDRESS or --trust-gateway a gateway answers, and a line on
standard error says whose. "Allowed" by another organisation's gateway is its
word alone: without --trust-gateway nothing is printed and the exit code is 14,
never 0. With it, another's gateway may also answer where your own does not run.
Every answer is compared with the question; one about another image, digest or
stage is an error (1).

`

func newVerifyCmd(a *app) *cobra.Command {
	return a.withReceipt(newAskCmd(a, "verify", "Ask whether an image may run in a stage",
		"The exit code is the answer: a pipeline needs nothing else.\n\n"+strings.TrimSpace(offlineHelp), a.writeVerdict))
}

func newExplainCmd(a *app) *cobra.Command {
	return newAskCmd(a, "explain", "Explain how each rule stands, and who can fix it",
		"The exit code is that of verify.", a.writeExplanation)
}

func newAskCmd(a *app, name, short, more string, write func(io.Writer, policy.Verdict)) *cobra.Command {
	var stage string
	var trust bool
	cmd := &cobra.Command{
		Use: name + " IMAGE --stage STAGE", Short: short, Long: short + ".\n\n" + more + askHelp + asOfHelp + "\n\n" + exitHelp, Args: operands("IMAGE"),
		Example: examples("waybill "+name+" reg.example/app:1.0 --stage production", "waybill "+name+" reg.example/app:1.0 --stage production -o json"),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			v, asOf, err := a.verdict(ctx, args[0], stage, trust)
			if err != nil {
				return err
			}
			a.stageHint(v)
			if err := a.emit(pastVerdict{v, asOf}, func(w io.Writer) { write(w, v) }); err != nil {
				return err
			}
			return answered(v)
		}),
	}
	cmd.Flags().StringVar(&stage, "stage", "", "the stage, as the policy names it")
	a.atFlag(cmd)
	cmd.Flags().BoolVar(&trust, "trust-gateway", false, "ask a gateway and rely on it, whoever runs it")
	requireFlags(cmd, "stage")
	return cmd
}

// pastVerdict is a verdict and the moment that was judged; nil: now.
type pastVerdict struct {
	policy.Verdict
	AsOf *time.Time `json:"asOf,omitempty"`
}

// verdict asks the reader's own peer, or where that was wanted a gateway: peers know
// their state as it is alone, so that an earlier moment is asked of a gateway.
func (a *app) verdict(ctx context.Context, image, stage string, trust bool) (v policy.Verdict, asOf *time.Time, err error) {
	ref, err := a.parseImage(ctx, image)
	if err != nil {
		return v, nil, err
	}
	if a.gateway != "" || trust || a.at != "" {
		return a.gatewayVerdict(ctx, ref, stage, trust)
	}
	p, err := a.readerPeer()
	if err != nil {
		return v, nil, err
	}
	defer p.close()
	if ref.Digest.IsZero() {
		if ref, err = p.image(ctx, image); err != nil {
			return v, nil, err
		}
	}
	v, err = p.verdict(ctx, ref, stage)
	return v, nil, err
}

// gatewayVerdict asks a gateway and says whose word the answer is. A stale
// gateway's "allowed" is no answer, and neither is another organisation's that is
// not to be trusted.
func (a *app) gatewayVerdict(ctx context.Context, ref provenance.Reference, stage string, trust bool) (v policy.Verdict, asOf *time.Time, err error) {
	c, err := a.clients()
	if err != nil {
		return v, nil, err
	}
	me, err := a.reader(c)
	if err != nil {
		return v, nil, err
	}
	client, host, err := a.askWhom(ctx)
	if err != nil {
		return v, nil, err
	}
	defer func() { _ = client.Close() }() // only read from
	who := host.Org + "'s gateway"
	a.notice("%s answers, and not %s's own peer", who, me.org.Org)
	if ref, err = a.resolve(ctx, client, ref); err != nil {
		return v, nil, err
	}
	res, err := client.GetVerdict(ctx, byDigest(ref), stage)
	if err != nil {
		return v, nil, err
	}
	if v, err = verdictOf(res); err != nil {
		return v, nil, err
	}
	if err := checkAnswer(who, v, ref, stage); err != nil {
		return v, nil, err
	}
	if at := res.GetAsOf(); at != nil {
		asOf = new(time.Time)
		*asOf = at.AsTime().UTC()
		a.notice("as of height %d, judged at %s: not now", res.GetHeight(), asOf.Format(time.RFC3339))
	}
	if res.GetStale() {
		a.notice("this gateway is behind the ledger: the answer may be old")
	}
	switch {
	case v.Verdict != policy.Allowed:
	case res.GetStale():
		return v, asOf, provenance.Errorf(provenance.Unavailable, "the gateway is stale at block %d", v.Height)
	case host.MSPID != me.org.MSPID && !trust:
		return v, asOf, hint(provenance.Errorf(provenance.Unavailable, "that it is allowed is %s's word alone, and %s's own peer was not asked", host.Org, me.org.Org),
			"ask your own peer (without --gateway), or take that word with --trust-gateway")
	}
	return v, asOf, nil
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
		fmt.Fprintf(a.errOut, "hint: %s\n", sanitize(near))
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
