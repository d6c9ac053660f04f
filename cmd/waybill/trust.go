package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newKeyCmd(a *app) *cobra.Command {
	cmd := group("key", "Keys and certificate roots your organisation answers for")
	cmd.AddCommand(newKeyAddCmd(a), newKeyWithdrawCmd(a), newKeyListCmd(a))
	return cmd
}

func newKeyAddCmd(a *app) *cobra.Command {
	var file, notBefore, notAfter string
	var root bool
	cmd := &cobra.Command{
		Use: "add NAME -f FILE", Short: "Register a public key or a certificate root, as an admin", Args: operands("NAME"),
		Long: `Register a public key (PEM: ECDSA P-256 or P-384, Ed25519, RSA of 2048 bits or
more) or, with --root, an X.509 root below which signing certificates count.
What it signs counts as your organisation's word. Only the public half is sent.`,
		RunE: a.do(func(ctx context.Context, args []string) error {
			text, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("read the key: %w", err)
			}
			kind := string(evidence.PublicKey)
			if root {
				kind = string(evidence.CertificateRoot)
			}
			// Before anything is signed: a private key must never travel.
			key, err := evidence.ParseKey(args[0], kind, string(text))
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			r, err := a.act(ctx, "key:Add", args[0], kind, string(text), notBefore, notAfter)
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "registered key %s, fingerprint %s", args[0], key.Fingerprint())
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the key's PEM file, as cosign's .pub")
	cmd.Flags().BoolVar(&root, "root", false, "the file is an X.509 root")
	cmd.Flags().StringVar(&notBefore, "not-before", "", "counts from this time on (RFC 3339)")
	cmd.Flags().StringVar(&notAfter, "not-after", "", "counts until this time (RFC 3339)")
	require(cmd, "file")
	return cmd
}

func newKeyWithdrawCmd(a *app) *cobra.Command {
	var reason, since string
	cmd := &cobra.Command{
		Use: "withdraw NAME --reason REASON", Short: "Withdraw a key: nothing it signs counts from now on", Args: operands("NAME"),
		Long: "Withdraw a key: nothing it signs counts from now on. With --compromised-since\nnothing counts either that was recorded since then, and approvals that relied on\nit are stale.",
		RunE: a.do(func(ctx context.Context, args []string) error {
			r, err := a.act(ctx, "key:Withdraw", args[0], reason, since)
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "withdrew key %s", args[0])
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&since, "compromised-since", "", "since when the key may have been another's (RFC 3339)")
	require(cmd, "reason")
	return cmd
}

func newKeyListCmd(a *app) *cobra.Command {
	var msp string
	cmd := &cobra.Command{
		Use: "list", Short: "List the keys of the organisations", Args: operands(),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c answers) (*waybillv1.ListKeysResponse, error) { return c.ListKeys(ctx, msp) }, func(w io.Writer, res *waybillv1.ListKeysResponse) {
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

func newSchemaCmd(a *app) *cobra.Command {
	cmd := group("schema", "Schemas of evidence of your own type")
	var file string
	add := &cobra.Command{
		Use: "add NAME -f FILE", Short: "Register the JSON schema of evidence type custom/MSP/NAME, as an admin", Args: operands("NAME"),
		Long: "Register the JSON schema of an evidence type of your own. The type is custom/MSP/NAME,\nwhere MSP is your organisation's: nobody takes a name from anybody.",
		RunE: a.do(func(ctx context.Context, args []string) error {
			schema, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("read the schema: %w", err)
			}
			if err := evidence.CheckSchema(schema); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			r, err := a.act(ctx, "schema:Add", args[0], string(schema))
			if err != nil {
				return err
			}
			_, me, err := a.signer()
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "registered the schema of %s", customType(me.org.MSPID, args[0]))
		}),
	}
	add.Flags().StringVarP(&file, "file", "f", "", "the schema's file")
	require(add, "file")
	cmd.AddCommand(add, &cobra.Command{
		Use: "list", Short: "List the schemas", Args: operands(),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c answers) (*waybillv1.ListSchemasResponse, error) { return c.ListSchemas(ctx) }, func(w io.Writer, res *waybillv1.ListSchemasResponse) {
				t := table("TYPE", "ORGANISATION", "REGISTERED", "BY")
				for _, s := range res.GetSchemas() {
					t.row(customType(s.GetMsp(), s.GetName()), s.GetMsp(), when(s.GetAt()), who(s.GetBy()))
				}
				t.write(w, "no schema is registered")
			})
		}),
	})
	return cmd
}

// customType is the evidence type that an organisation's schema is for.
func customType(msp, name string) string {
	return evidence.CustomPrefix + msp + "/" + strings.TrimPrefix(name, msp+"/")
}

func newContextCmd(a *app) *cobra.Command {
	cmd := group("context", "Circumstances your organisation publishes for the rules")
	set := &cobra.Command{
		Use: "set NAME VALUE", Short: "Publish a variable: true, false, a number or a text", Args: operands("NAME", "VALUE"),
		Long: "Publish a variable that policies may listen to: spec.context of a policy says\nwhose word counts. A VALUE that is no JSON is taken as a text; null removes it.",
		RunE: a.do(func(ctx context.Context, args []string) error {
			value := args[1]
			if !json.Valid([]byte(value)) {
				b, err := json.Marshal(value)
				if err != nil {
					return err
				}
				value = string(b)
			}
			r, err := a.act(ctx, "context:Set", args[0], value)
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "context.%s is %s", args[0], value)
		}),
	}
	cmd.AddCommand(set, &cobra.Command{
		Use: "list", Short: "List the variables and who publishes them", Args: operands(),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c answers) (*waybillv1.ListContextResponse, error) { return c.ListContext(ctx) }, func(w io.Writer, res *waybillv1.ListContextResponse) {
				t := table("ORGANISATION", "VARIABLE", "VALUE", "SINCE")
				for _, v := range res.GetVariables() {
					t.row(v.GetMsp(), v.GetName(), v.GetValue(), when(v.GetAt()))
				}
				t.write(w, "no variable is published: waybill context set NAME VALUE")
			})
		}),
	})
	return cmd
}

func newLabelCmd(a *app) *cobra.Command {
	cmd := group("label", "Labels a registry's owner gives its repositories")
	set := &cobra.Command{
		Use: "set HOST/REPOSITORY NAME=VALUE", Short: "Set a label, or remove it with an empty value", Args: operands("HOST/REPOSITORY", "NAME=VALUE"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			host, repo, err := parseRepository(args[0])
			if err != nil {
				return err
			}
			name, value, ok := strings.Cut(args[1], "=")
			if !ok {
				return usagef("label %q: want NAME=VALUE", args[1])
			}
			r, err := a.act(ctx, "label:Set", string(host), string(repo), name, value)
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "label %s of %s is %q", name, args[0], value)
		}),
	}
	var repository string
	list := &cobra.Command{
		Use: "list", Short: "List labels", Args: operands(),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c answers) (*waybillv1.ListLabelsResponse, error) { return c.ListLabels(ctx, repository) }, func(w io.Writer, res *waybillv1.ListLabelsResponse) {
				t := table("REPOSITORY", "LABEL", "VALUE")
				for _, l := range res.GetLabels() {
					t.row(l.GetHost()+"/"+l.GetRepository(), l.GetName(), l.GetValue())
				}
				t.write(w, "no label is set: waybill label set HOST/REPOSITORY NAME=VALUE")
			})
		}),
	}
	list.Flags().StringVar(&repository, "repository", "", "only of this host/repository")
	cmd.AddCommand(set, list)
	return cmd
}
