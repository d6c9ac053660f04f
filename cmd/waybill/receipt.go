package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/proof"
)

// proofAPI are the questions that are answered with a file.
type proofAPI interface {
	GetReceipt(ctx context.Context, in *waybillv1.GetReceiptRequest) (*waybillv1.GetReceiptResponse, error)
	GetProof(ctx context.Context, in *waybillv1.GetProofRequest) (*waybillv1.GetProofResponse, error)
}

// proofFile is where a proof goes, and what it is held against.
type proofFile struct {
	to, config, genesis string
	organisations       int
}

func (f *proofFile) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.to, "output", "o", "", "the `file` that is written; - is standard output")
	cmd.Flags().StringVar(&f.config, "config-output", "", "write the configuration blocks, which all proofs of a channel share, to this `file` and leave them out of the other")
	cmd.Flags().StringVar(&f.genesis, "genesis", "", "`hash` of the channel's first block, where the folder does not have it")
	cmd.Flags().IntVar(&f.organisations, "orgs", 0, "how many organisations' peers must sign; 0 is a majority of the channel's")
	requireFlags(cmd, "output")
}

// fileHelp says what a file is worth.
const fileHelp = `

Your organisation's gateway asks, with its own identity: the file shows its
certificate and not yours. Nothing in the file is the gateway's word. It is
checked here against the first block in the folder (or --genesis) before it is
written, and by anybody with waybill-verify FILE --genesis HASH.

`

func newReceiptCmd(a *app) *cobra.Command {
	var f proofFile
	var v vsaFlags
	var stage string
	var maxAge time.Duration
	cmd := &cobra.Command{
		Use: "receipt IMAGE --stage STAGE -o FILE", Short: "Get a verdict in a file, signed by peers of several organisations", Args: operands("IMAGE"),
		Example: examples(`waybill receipt reg.example/app:1.0 --stage production -o receipt.json`,
			`waybill receipt reg.example/app:1.0 --stage production -o receipt.json \`, `    --vsa vsa.json --key release.pem --attach`),
		Long: `Get the verdict on an image in a file, signed by peers of several organisations,
whatever it is: allowed, denied or anything else. The exit code says whether the
file was made, and waybill verify --offline FILE exits by the verdict.

It speaks of the moment that it was asked at, within the peers' window, and
never of now. --max-age takes one that the gateway made before.

With --vsa the same is also written as a verification summary (SLSA 1.2) in a
DSSE envelope, which cosign and admission controllers read. That one is the word
of whoever has the --key: it names the receipt, by its hash, as what it rests
on.
` + strings.TrimPrefix(fileHelp, "\n"),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			if err := v.check(); err != nil {
				return err
			}
			genesis, err := a.genesis(f.genesis)
			if err != nil {
				return err
			}
			ref, err := a.askedImage(ctx, args[0])
			if err != nil {
				return err
			}
			res, err := fetch(ctx, a, func(c gatewayAPI) (*waybillv1.GetReceiptResponse, error) {
				return c.GetReceipt(ctx, &waybillv1.GetReceiptRequest{Image: byDigest(ref), Stage: stage, Organizations: int32(f.organisations), MaxAge: int32(maxAge / time.Second)})
			})
			if err != nil {
				return err
			}
			report, err := checkFile(res.GetFile(), proof.Options{Genesis: genesis, Orgs: f.organisations, Image: byDigest(ref), Stage: stage}, proof.KindReceipt)
			if err != nil {
				return err
			}
			if err := a.writeProof(f, res.GetFile()); err != nil {
				return err
			}
			a.notice("%s for %s is %s as of %s, signed by peers of %s", report.Verdict.Image, stage, report.Verdict.Verdict, report.Verdict.AsOf.Format(time.RFC3339), signers(report.Verdict.Endorsers))
			return a.vsa(ctx, v, report, res.GetFile(), genesis)
		}),
	}
	cmd.Flags().StringVar(&stage, "stage", "", "the stage, as the policy names it")
	cmd.Flags().DurationVar(&maxAge, "max-age", 0, "take a receipt that is at most this old; 0: a new one")
	f.flags(cmd)
	v.flags(cmd)
	requireFlags(cmd, "stage")
	return cmd
}

func newProofCmd(a *app) *cobra.Command {
	var f proofFile
	var kind string
	cmd := &cobra.Command{
		Use: "proof IMAGE|TRANSACTION -o FILE", Short: "Get a record of the ledger in a file that proves it", Args: operands("IMAGE or TRANSACTION"),
		Example: examples(`waybill proof reg.example/app:1.0 -o push.json`, `waybill proof reg.example/app:1.0 --kind quarantine -o hold.json`, `waybill proof "$TXID" -o transaction.json`),
		Long: `Get a transaction in a file that proves it: its block with the orderers'
signatures, and its status as peers of several organisations sign it. Of an
image it is the transaction of its newest record of a --kind; waybill history
lists the records with their transactions (-o json).
` + strings.TrimPrefix(fileHelp, "\n"),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			in := &waybillv1.GetProofRequest{Organizations: int32(f.organisations)}
			genesis, err := a.genesis(f.genesis)
			if err != nil {
				return err
			}
			if isTransaction(args[0]) {
				if kind != "" {
					return usagef("--kind is for an image: a transaction is one, of whatever kind")
				}
				in.TxId = args[0]
			} else {
				ref, err := a.askedImage(ctx, args[0])
				if err != nil {
					return err
				}
				in.Image, in.Kind = byDigest(ref), kind
			}
			res, err := fetch(ctx, a, func(c gatewayAPI) (*waybillv1.GetProofResponse, error) { return c.GetProof(ctx, in) })
			if err != nil {
				return err
			}
			report, err := checkFile(res.GetFile(), proof.Options{Genesis: genesis, Orgs: f.organisations}, proof.KindTransaction)
			if err != nil {
				return err
			}
			t := report.Transaction
			if t.ID != res.GetTxId() || (in.GetTxId() != "" && t.ID != in.GetTxId()) {
				return mismatch("the gateway", "transaction "+res.GetTxId(), "transaction "+t.ID)
			}
			if err := a.writeProof(f, res.GetFile()); err != nil {
				return err
			}
			a.notice("transaction %s in block %d is %s, as peers of %s sign", t.ID, t.Block, t.Status, signers(t.Attested))
			return nil
		}),
	}
	cmd.Flags().StringVar(&kind, "kind", "", "of an image: push (the default), approval, quarantine, release or another kind that its history lists")
	f.flags(cmd)
	return cmd
}

// isTransaction tells a transaction's id from an image.
func isTransaction(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32
}

// genesis is the hash that proofs are held against: what was typed, or that of the
// first block in the folder.
func (a *app) genesis(typed string) ([]byte, error) {
	if typed != "" {
		b, err := proof.ParseHash(typed)
		if err != nil {
			return nil, usagef("--genesis: %v", err)
		}
		return b, nil
	}
	c, err := a.clients()
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(c.Genesis)
	if err != nil {
		return nil, hint(fmt.Errorf("read the channel's first block: %w", err), "give its hash, as somebody you trust tells it: --genesis HASH")
	}
	hash, err := proof.HeaderHash(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Genesis, err)
	}
	return hash, nil
}

// checkFile verifies what a gateway handed out as anybody will who gets it.
func checkFile(file []byte, o proof.Options, kind string) (proof.Report, error) {
	report := proof.Verify(file, o)
	if report.Result == proof.Valid && report.Kind == kind {
		return report, nil
	}
	why := string(report.Result)
	for _, s := range report.Steps {
		if !s.OK {
			why += ": " + s.ID + ": " + s.Detail
		}
	}
	return report, hint(provenance.Errorf(provenance.Internal, "the gateway's file does not hold: %s", why), "it is broken or lies, or the channel is another one than the folder's; nothing was written")
}

// writeProof writes a file, and its configuration blocks into another where that is wanted.
func (a *app) writeProof(f proofFile, file []byte) error {
	if f.config != "" {
		parsed, err := proof.Parse(file)
		if err != nil {
			return err
		}
		config := proof.File{Version: proof.Version, Kind: proof.KindConfig, Channel: parsed.Channel, Config: parsed.Config}
		parsed.Config = nil
		if err := a.writeTo(f.config, config.Marshal()); err != nil {
			return err
		}
		file = parsed.Marshal()
	}
	return a.writeTo(f.to, file)
}

// writeTo writes a result to a file, or to standard output.
func (a *app) writeTo(to string, content []byte) error {
	if to == "-" {
		_, err := a.out.Write(content)
		return err
	}
	if err := renameio.WriteFile(to, content, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	return nil
}

func signers(all []proof.Endorser) string {
	var names []string
	for _, e := range all {
		names = append(names, e.MSP)
	}
	return strings.Join(names, ", ")
}
