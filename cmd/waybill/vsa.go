package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/proofs"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/proof"
)

// vsaFlags is what a verification summary is made with.
type vsaFlags struct {
	to, key, verifier string
	attach, insecure  bool
	user, passFile    string
}

func (v *vsaFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&v.to, "vsa", "", "write a verification summary to this `file`, too; - is standard output")
	f.StringVar(&v.key, "key", "", "sign the summary with this `key`: a file, NAME://KEY or pkcs11:..., as in waybill attest")
	f.StringVar(&v.verifier, "verifier-id", "", "`URI` that the summary calls the verifier; by default the channel's, with the hash of its first block")
	f.BoolVar(&v.attach, "attach", false, "attach the summary to the image in its registry")
	f.StringVar(&v.user, "registry-user", "", "user at the registry")
	f.StringVar(&v.passFile, "registry-password-file", "", "file with the password at the registry")
	f.BoolVar(&v.insecure, "registry-insecure", false, "use plain HTTP for the registry (always for one on this machine)")
}

func (v vsaFlags) wanted() bool { return v.to != "" || v.attach }

// check refuses flags that do not fit before anybody is asked.
func (v vsaFlags) check() error {
	switch {
	case v.wanted() && v.key == "":
		return hint(usagef("a summary is signed: --key is missing"), "it is one's own word, and not that of the peers: waybill help receipt")
	case !v.wanted() && (v.key != "" || v.verifier != ""):
		return usagef("how to sign a summary was said, and not to make one: add --vsa FILE or --attach")
	}
	return nil
}

// vsa makes a verification summary of a receipt, and brings it where it is wanted.
func (a *app) vsa(ctx context.Context, v vsaFlags, report proof.Report, file, genesis []byte) error {
	if !v.wanted() {
		return nil
	}
	id := v.verifier
	if id == "" {
		id = proofs.VerifierID(report.Channel, genesis)
	}
	statement, err := proofs.VSA(report, file, id)
	if err != nil {
		return err
	}
	key, err := a.openKey(ctx, v.key)
	if err != nil {
		return err
	}
	envelope, err := signDSSE(ctx, key, statement)
	if err != nil {
		return err
	}
	if v.to != "" {
		if err := a.writeTo(v.to, append(envelope, '\n')); err != nil {
			return err
		}
	}
	if !v.attach {
		return nil
	}
	ref, err := provenance.ParseReference(report.Verdict.Image)
	if err != nil {
		return err
	}
	c, err := registry.New(registry.Config{
		Host: ref.Host, Insecure: v.insecure || local(ref.Host), Username: v.user, PasswordFile: v.passFile, UserAgent: "waybill", AllowPrivate: true,
	})
	if err != nil {
		return err
	}
	d, err := c.Push(ctx, ref.Repository, registry.Referrer{
		Subject: ref.Digest, ArtifactType: dsseType, Blob: envelope, Annotations: map[string]string{"in-toto.io/predicate-type": proofs.VSAType},
	})
	if err != nil {
		return fmt.Errorf("attach the summary: %w", err)
	}
	a.notice("the summary is %s/%s@%s", ref.Host, ref.Repository, d)
	return nil
}
