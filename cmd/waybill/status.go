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

func newStatusCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status [IMAGE]", Short: "Show where an image is, or how the gateway is doing", Args: atMostImage,
		Example: examples(`waybill status`, `waybill status reg.example/app:1.0`),
		Long:    "Show where an image is, who holds it in quarantine and where it is released.\nIMAGE may be a digest alone: then every repository is listed. The exit code is\n10 while it is nowhere. Without IMAGE, show how the gateway and its ledger are\ndoing; the exit code is 14 when it is behind.\n\n" + asOfHelp,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			if len(args) == 0 {
				if a.at != "" {
					return usagef("--at is about an image: how a gateway is doing is told of now alone")
				}
				return a.gatewayStatus(ctx)
			}
			image := args[0]
			if _, err := provenance.ParseDigest(image); err != nil {
				ref, err := a.parseImage(ctx, image)
				if err != nil {
					return err
				}
				image = ref.String()
			}
			return a.imageStatus(ctx, image)
		}),
	}
	a.atFlag(cmd)
	return cmd
}

// imageStatus prints what the ledger knows of an image. An image that is
// nowhere is the answer "unknown", so that a script can wait for a push.
func (a *app) imageStatus(ctx context.Context, image string) error {
	res, err := fetch(ctx, a, func(c gatewayAPI) (*waybillv1.GetImageResponse, error) { return c.GetImage(ctx, image) })
	if err != nil {
		return err
	}
	if err := a.emit(plainJSON{res}, func(w io.Writer) { writeImage(w, res) }); err != nil {
		return err
	}
	for _, p := range res.GetPlaces() {
		if !p.GetDeleted() {
			return nil
		}
	}
	return answerError{policy.Unknown}
}

func (a *app) gatewayStatus(ctx context.Context) error {
	s, err := fetch(ctx, a, func(c gatewayAPI) (*waybillv1.GetStatusResponse, error) { return c.GetStatus(ctx) })
	if err != nil {
		return err
	}
	if err := a.emit(plainJSON{s}, func(w io.Writer) { writeStatus(w, s) }); err != nil {
		return err
	}
	if s.GetStale() {
		return provenance.Errorf(provenance.Unavailable, "the gateway is behind its ledger")
	}
	return nil
}

func writeStatus(w io.Writer, s *waybillv1.GetStatusResponse) {
	health := "current"
	if s.GetStale() {
		health = "behind: answers may be old"
	}
	t := table()
	t.row("gateway", fmt.Sprintf("%s, version %s", s.GetOrg(), dash(s.GetVersion())))
	t.row("channel", s.GetChannel())
	t.row("height", number(s.GetHeight()))
	t.row("peer height", number(s.GetPeerHeight()))
	t.row("ledger", health)
	t.row("last block", when(s.GetLastBlockAt()))
	q := s.GetQueue()
	t.row("queue", fmt.Sprintf("%d pending, %d being recorded, %d recorded, %d given up", q.GetPending(), q.GetSealed(), q.GetDone(), q.GetDead()))
	if n, dropped := q.GetUnusable(), q.GetUnusableDropped(); n > 0 || dropped > 0 {
		t.row("unusable", fmt.Sprintf("%d kept, %d dropped for newer ones", n, dropped))
	}
	if q.GetPending() > 0 {
		t.row("oldest pending", when(q.GetOldestPending()))
	}
	if s.GetWaitingReason() != "" {
		t.row("waiting", s.GetWaitingReason())
	}
	for _, c := range s.GetWeakConnectors() {
		t.row("weak connector", c.GetName()+" ("+c.GetKind()+"): "+c.GetWeakness())
	}
	for _, c := range s.GetEndingCertificates() {
		t.row("certificate ends", fmt.Sprintf("%s, %s of %s: %s", c.GetName(), c.GetUse(), c.GetOrg(), when(c.GetEnds())))
	}
	t.write(w, "")
	if len(s.GetEndingCertificates()) > 0 {
		fmt.Fprintln(w, "\nrenew what is yours with: waybill cert renew --all")
	}
	if q.GetDead() > 0 {
		fmt.Fprintln(w, "\nsee what was given up with: waybill queue list")
	}
	if q.GetUnusable() > 0 {
		fmt.Fprintln(w, "\nsee what registries sent and nothing could be made of with: waybill queue unusable")
	}
}

func writeImage(w io.Writer, res *waybillv1.GetImageResponse) {
	head := table()
	head.row("image", res.GetImage())
	head.row("digest", res.GetDigest())
	head.row("height", number(res.GetHeight()))
	if res.GetAsOf() != nil {
		head.row("as of", when(res.GetAsOf()))
	} else {
		head.row("pulls", fmt.Sprintf("%d, last %s", res.GetPulls(), when(res.GetLastPull())))
	}
	head.write(w, "")
	blank(w)
	places := table("REPOSITORY", "TAGS", "TYPE", "PUSHED", "RECORDED BY", "")
	for _, p := range res.GetPlaces() {
		note := ""
		if p.GetDeleted() {
			note = "deleted"
		}
		places.row(p.GetHost()+"/"+p.GetRepository(), dash(strings.Join(p.GetTags(), ", ")), kindOf(p), when(p.GetAt()), p.GetMsp(), note)
	}
	places.write(w, "no gateway recorded a push of it")
	writeHolds(w, res.GetHolds())
	if len(res.GetReleases()) > 0 {
		blank(w)
		t := table("STAGE", "REPOSITORY", "RELEASED", "POLICY", "APPROVED BY", "")
		for _, r := range res.GetReleases() {
			note := "superseded"
			if r.GetCurrent() {
				note = "current"
			}
			t.row(r.GetStage(), r.GetHost()+"/"+r.GetRepository(), when(r.GetAt()),
				fmt.Sprintf("%s version %d", r.GetPolicy().GetName(), r.GetPolicy().GetVersion()), whoAll(r.GetApprovers()), note)
		}
		t.write(w, "")
	}
	if len(res.GetPromotions()) > 0 {
		blank(w)
		writePromotions(w, res.GetPromotions())
	}
}

func writeHolds(w io.Writer, holds []*waybillv1.Hold) {
	t := table("QUARANTINED BY", "SINCE", "REASON")
	for _, h := range holds {
		if !h.GetLifted() {
			t.row(who(h.GetBy()), when(h.GetAt()), h.GetReason())
		}
	}
	if len(t.rows) > 0 {
		blank(w)
		t.write(w, "")
	}
}

// kindOf says in a word what was pushed.
func kindOf(p *waybillv1.Place) string {
	switch {
	case p.GetArtifactType() != "":
		return p.GetArtifactType()
	case len(p.GetChildren()) > 0:
		return fmt.Sprintf("index of %d", len(p.GetChildren()))
	case len(p.GetIndexes()) > 0:
		return "platform of " + short(p.GetIndexes()[0])
	default:
		return "image"
	}
}

func atMostImage(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return operands("IMAGE")(cmd, args)
}
