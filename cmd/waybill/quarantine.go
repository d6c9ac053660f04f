package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

const quarantineHelp = "\n\nA quarantine is of the content: it counts in every repository and stage, for\nevery organisation, until the organisation that set it lifts it. IMAGE may be a\ndigest alone."

func newQuarantineCmd(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "quarantine IMAGE --reason REASON", Short: "Keep an image from running anywhere", Args: operands("IMAGE"),
		Example: examples(`waybill quarantine reg.example/app:1.0 --reason "CVE-2026-1234" \`, `    --as security/admin`),
		Long:    "Keep an image from running anywhere." + quarantineHelp,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.hold(ctx, "quarantined", "quarantine:Set", args[0], reason)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	requireFlags(cmd, "reason")
	return cmd
}

func newUnquarantineCmd(a *app) *cobra.Command {
	var reason, of string
	cmd := &cobra.Command{
		Use: "unquarantine IMAGE --reason REASON | --of MSP", Short: "Lift a quarantine, or vote to lift another organisation's", Args: operands("IMAGE"),
		Example: examples(
			`waybill unquarantine reg.example/app:1.0 --reason "it was a false alarm" \`,
			`    --as security/admin`,
			`waybill unquarantine reg.example/app:1.0 --of AuditMSP --as security/admin`,
		),
		Long: "Lift your organisation's quarantine of an image." + quarantineHelp + `

With --of, lifting the quarantine of another organisation is proposed, or voted
for where it is proposed already: it is lifted once admins of a majority of the
organisations agree. That is for what an organisation left behind.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			switch {
			case of != "" && reason != "":
				return usagef("--reason does not go with --of: say why with waybill proposal vote ID yes --reason REASON")
			case of != "":
				return a.proposeLift(ctx, args[0], of)
			case reason == "":
				return usagef("want --reason REASON, or --of MSP")
			}
			return a.hold(ctx, "lifted the quarantine of", "quarantine:Lift", args[0], reason)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&of, "of", "", "propose to lift this organisation's quarantine instead (MSP id), as an admin")
	return cmd
}

// hold signs a transaction on the content that an image was named by.
func (a *app) hold(ctx context.Context, done, fn, image, reason string) error {
	p, err := a.signerPeer()
	if err != nil {
		return err
	}
	defer p.close()
	d, err := p.digest(ctx, image)
	if err != nil {
		return err
	}
	r, err := p.submit(ctx, nil, fn, d.String(), reason)
	if err != nil {
		return err
	}
	return a.printCommitted(r, nil, "%s %s", done, d)
}

// proposeLift puts the lifting of another organisation's quarantine to the vote.
func (a *app) proposeLift(ctx context.Context, image, msp string) error {
	d, err := a.ownDigest(ctx, image)
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Digest provenance.Digest `json:"digest"`
		MSP    string            `json:"msp"`
	}{d, msp})
	if err != nil {
		return err
	}
	return a.propose(ctx, state.ProposeLift, string(body), "proposed: lift the quarantine of "+d.String()+" by "+msp)
}

// ownDigest reads IMAGE or a digest alone by the signer's own peer.
func (a *app) ownDigest(ctx context.Context, image string) (provenance.Digest, error) {
	p, err := a.signerPeer()
	if err != nil {
		return provenance.Digest{}, err
	}
	defer p.close()
	return p.digest(ctx, image)
}
