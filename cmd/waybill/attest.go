package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// attestation is what waybill attest was asked for.
type attestation struct {
	typ, file, key  string
	keyless         keyless
	noPush, private bool
	user, passFile  string
	insecure        bool
	ref             provenance.Reference
	document        []byte
	envelope        []byte
	format          evidence.Format
	attached        []byte // what is pushed: the document, or the envelope it is whole in
	mediaType       string
	keyMSP, keyName string
	location        string
}

func newAttestCmd(a *app) *cobra.Command {
	var at attestation
	cmd := &cobra.Command{
		Use: "attest IMAGE --type TYPE --file FILE", Short: "Give evidence about an image", Args: operands("IMAGE"),
		Example: examples(
			`waybill attest reg.example/app:1.0 --type vuln-scan --file scan.json \`,
			`    --as security/scanner`,
			`syft reg.example/app:1.0 -o spdx-json | waybill attest reg.example/app:1.0 \`,
			`    --type sbom --file - --key ci.pem --as vendor/publisher`,
			`waybill attest reg.example/app:1.0 --type test-result --file result.json \`,
			`    --keyless --signing-config sigstore.json --trust sigstore`,
		),
		Long: `Give evidence about an image: a document (SBOM, scan report, provenance, test
result, ...). The ledger keeps its hash, and the facts in it that rules use. The
document itself is attached to the image in its registry, for everybody who
wants to check it again.

Without --key you vouch for the document yourself, with your signature under the
transaction. With --key, a key whose public half an organisation registered
(waybill key add) does. It stays where it is:
  FILE          a private key in PEM, as openssl or cosign make it. The password
                of an encrypted one is asked for, or is in COSIGN_PASSWORD
  NAME://KEY    the program sigstore-kms-NAME on the PATH signs: awskms, gcpkms,
                azurekms, hashivault, or one of your own. The command itself
                holds no cloud's library and no driver
  pkcs11:...    a PKCS#11 URI (RFC 7512), for the program sigstore-kms-pkcs11

With --keyless a key is made, used once and forgotten, and certified for whoever
an identity token names: that of --identity-token, SIGSTORE_ID_TOKEN (GitLab),
or in an Actions job with "id-token: write" GitHub's. No browser is opened.
Who certifies and who witnesses the time is said by --signing-config, or by
--fulcio-url with --rekor-url, --timestamp-url or both; by default nobody is
asked. What a public log is told, the token's identity too, stays public for
ever. --trust names the trusted root that verifies it (waybill trust list).

A document is sent to the peers that endorse, which read the facts in it. Of one
that is larger (64 KiB; signed, 4 MiB in its envelope) a statement over its hash
is sent, with the facts that this command reads in it.

With --private packages, licences and findings stay off the ledger: of an SBOM
or a scan it has the numbers and the hashes, and rules that ask for more fail.
Those who endorse see the document all the same, and so does whoever may read
the registry.

TYPE is custom/MSP/NAME for a schema of your own (waybill schema add), or one of
` + strings.Join(evidence.Types(), ", ") + `.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error { return a.attest(ctx, args[0], at) }),
	}
	cmd.Flags().StringVar(&at.typ, "type", "", "the type of evidence")
	cmd.Flags().StringVar(&at.file, "file", "", "the document; - reads standard input")
	cmd.Flags().StringVar(&at.key, "key", "", "sign the document with this `key`: a file, NAME://KEY or pkcs11:...")
	at.keyless.flags(cmd)
	cmd.Flags().BoolVar(&at.private, "private", false, "keep what an SBOM or a scan lists off the ledger")
	cmd.Flags().BoolVar(&at.noPush, "no-push", false, "do not attach the document in the registry")
	cmd.Flags().StringVar(&at.user, "registry-user", "", "user at the registry")
	cmd.Flags().StringVar(&at.passFile, "registry-password-file", "", "file with the password at the registry")
	cmd.Flags().BoolVar(&at.insecure, "registry-insecure", false, "use plain HTTP for the registry (always for one on this machine)")
	requireFlags(cmd, "type", "file")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(evidence.Types(), cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	return cmd
}

func (a *app) attest(ctx context.Context, image string, at attestation) error {
	if err := at.check(); err != nil {
		return err
	}
	p, err := a.signerPeer()
	if err != nil {
		return err
	}
	defer p.close()
	if at.ref, err = p.image(ctx, image); err != nil {
		return err
	}
	if at.document, err = a.readFile("document", at.file, evidence.MaxDocument); err != nil {
		return err
	}
	if err := evidence.CheckType(at.typ); err != nil {
		return hint(err, "%s", didYouMean(at.typ, evidence.Types()))
	}
	if err := a.wrap(ctx, p, &at); err != nil {
		return err
	}
	if !at.noPush {
		if err := at.push(ctx); err != nil {
			return hint(err, "give the evidence without attaching the document: --no-push")
		}
	}
	ref := at.ref
	transient := map[string][]byte{"envelope": at.envelope}
	if at.private {
		transient["private"] = []byte("true")
	}
	r, err := p.submit(ctx, transient, "evidence:Submit",
		string(ref.Host), string(ref.Repository), ref.Digest.String(), at.typ, string(at.format), at.keyMSP, at.keyName, at.location)
	if err != nil {
		return err
	}
	return a.printCommitted(r, func(w io.Writer) {
		if at.location != "" {
			fmt.Fprintf(w, "the document is %s\n", sanitize(at.location))
		}
	}, "%s evidence for %s", at.typ, byDigest(ref))
}

// push attaches the document to the image in its registry.
func (at *attestation) push(ctx context.Context) error {
	c, err := registry.New(registry.Config{
		Host: at.ref.Host, Insecure: at.insecure || local(at.ref.Host), Username: at.user, PasswordFile: at.passFile,
		UserAgent: "waybill", AllowPrivate: true, // whoever runs this names the registry
	})
	if err != nil {
		return err
	}
	r := registry.Referrer{
		Subject: at.ref.Digest, ArtifactType: "application/vnd.waybill.evidence." + strings.ReplaceAll(at.typ, "/", ".") + ".v1+json",
		MediaType: at.mediaType, Blob: at.attached,
	}
	if at.private {
		r.Annotations = map[string]string{registry.PrivateAnnotation: "true"}
	}
	d, err := c.Push(ctx, at.ref.Repository, r)
	if err != nil {
		return fmt.Errorf("attach the document: %w", err)
	}
	at.location = fmt.Sprintf("%s/%s@%s", at.ref.Host, at.ref.Repository, d)
	return nil
}

// local tells whether a registry is on this machine, where nobody uses TLS.
func local(host provenance.Host) bool {
	name, _, err := net.SplitHostPort(string(host))
	if err != nil {
		name = string(host)
	}
	ip := net.ParseIP(name)
	return name == "localhost" || ip.IsLoopback()
}
