package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newKeyCmd(a *app) *cobra.Command {
	cmd := parentCmd("key", "Keys and certificate roots that your organisation vouches for")
	cmd.Example = examples(`waybill key add ci -f cosign.pub --as vendor/admin`, `waybill key list`)
	cmd.AddCommand(newKeyAddCmd(a), newKeyWithdrawCmd(a), newKeyListCmd(a))
	return cmd
}

func newKeyAddCmd(a *app) *cobra.Command {
	var file, notBefore, notAfter string
	var root, authority bool
	cmd := &cobra.Command{
		Use: "add NAME -f FILE", Short: "Register a public key or a certificate root, as an admin", Args: operands("NAME"),
		Example: examples(
			`waybill key add ci -f cosign.pub --as vendor/admin`,
			`waybill key add notary -f root.pem --root --as vendor/admin`,
			`waybill key add signer -f root.pem --signing-authority --as vendor/admin`,
		),
		Long: `Register a public key (PEM: ECDSA P-256 or P-384, Ed25519, RSA of 2048 bits or
more) or, with --root, an X.509 root below which signing certificates count.
With --signing-authority it is the root of a service that signs for others and
vouches for the time (signing scheme notary.x509.signingAuthority); no other
signature counts below it.
Your organisation vouches for what it signs. Only the public half is sent.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			text, err := a.readFile("key", file, maxText)
			if err != nil {
				return err
			}
			kind := string(evidence.PublicKey)
			switch {
			case root:
				kind = string(evidence.CertificateRoot)
			case authority:
				kind = string(evidence.SigningAuthority)
			}
			// Before anything is signed: a private key must never travel.
			key, err := evidence.ParseKey(args[0], kind, string(text))
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			r, err := a.submit(ctx, "key:Add", args[0], kind, string(text), notBefore, notAfter)
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "registered key %s, fingerprint %s", args[0], key.Fingerprint())
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the key's PEM file, as cosign's .pub")
	cmd.Flags().BoolVar(&root, "root", false, "the file is an X.509 root")
	cmd.Flags().BoolVar(&authority, "signing-authority", false, "the file is the X.509 root of a signing authority")
	cmd.MarkFlagsMutuallyExclusive("root", "signing-authority")
	cmd.Flags().StringVar(&notBefore, "not-before", "", "valid from this time on (RFC 3339)")
	cmd.Flags().StringVar(&notAfter, "not-after", "", "valid until this time (RFC 3339)")
	requireFlags(cmd, "file")
	return cmd
}

func newKeyWithdrawCmd(a *app) *cobra.Command {
	var reason, since string
	cmd := &cobra.Command{
		Use: "withdraw NAME --reason REASON", Short: "Withdraw a key: nothing it signs counts from now on", Args: operands("NAME"),
		Example: examples(
			`waybill key withdraw ci --reason "the laptop was stolen" \`,
			`    --compromised-since 2026-03-02T09:00:00Z --as vendor/admin`,
		),
		Long: "Withdraw a key: nothing it signs counts from now on. With --compromised-since\nnothing counts either that was recorded since then, and approvals that relied on\nit are stale.",
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			r, err := a.submit(ctx, "key:Withdraw", args[0], reason, since)
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "withdrew key %s", args[0])
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&since, "compromised-since", "", "since when somebody else may have used it (RFC 3339)")
	requireFlags(cmd, "reason")
	return cmd
}

func newKeyListCmd(a *app) *cobra.Command {
	var msp string
	cmd := &cobra.Command{
		Use: "list", Short: "List the keys of the organisations", Args: operands(),
		Example: examples(`waybill key list --org VendorMSP`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListKeysResponse, error) { return c.ListKeys(ctx, msp) }, func(w io.Writer, res *waybillv1.ListKeysResponse) {
				t := table("ORGANISATION", "KEY", "KIND", "FINGERPRINT", "FROM", "UNTIL", "REGISTERED", "WITHDRAWN")
				for _, k := range res.GetKeys() {
					withdrawn := "-"
					if x := k.GetWithdrawn(); x != nil {
						withdrawn = when(x.GetAt()) + ": " + x.GetReason()
						if x.GetCompromisedSince() != nil {
							withdrawn += " (compromised since " + when(x.GetCompromisedSince()) + ")"
						}
					}
					t.row(k.GetMsp(), k.GetName(), k.GetKind(), shortHash(k.GetFingerprint()), when(k.GetNotBefore()), when(k.GetNotAfter()), when(k.GetAt())+" by "+who(k.GetBy()), withdrawn)
				}
				t.write(w, "no key is registered: waybill key add NAME -f FILE --as ORG/admin")
			})
		}),
	}
	cmd.Flags().StringVar(&msp, "org", "", "only of this organisation (MSP id)")
	return cmd
}
