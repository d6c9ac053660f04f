package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// attestation is what waybill attest was asked for.
type attestation struct {
	typ, file, key  string
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
		),
		Long: `Give evidence about an image: a document (SBOM, scan report, provenance, test
result, ...). The ledger keeps its hash, and the facts in it that rules use. The
document itself is attached to the image in its registry, for everybody who
wants to check it again.

Without --key you vouch for the document yourself, with your signature under the
transaction. With --key, a private key in PEM whose public half an organisation
registered (waybill key add), that key does. The key stays on this machine.

A document is sent to the peers that endorse, which read the facts in it. Of one
that is larger (64 KiB; signed with a key, 4 MiB in its envelope) a statement
over its hash is sent, with the facts that this command reads in it.

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
	cmd.Flags().StringVar(&at.key, "key", "", "sign the document with this private key (PEM)")
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
	p, err := a.signerPeer()
	if err != nil {
		return err
	}
	defer p.close()
	if at.ref, err = p.image(ctx, image); err != nil {
		return err
	}
	if at.document, err = a.readDocument(at.file); err != nil {
		return err
	}
	if err := evidence.CheckType(at.typ); err != nil {
		return hint(err, "%s", didYouMean(at.typ, evidence.Types()))
	}
	if err := p.wrap(ctx, &at); err != nil {
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
	return a.printReceipt(r, func(w io.Writer) {
		if at.location != "" {
			fmt.Fprintf(w, "the document is %s\n", sanitize(at.location))
		}
	}, "%s evidence for %s", at.typ, byDigest(ref))
}

func (a *app) readDocument(file string) ([]byte, error) {
	from := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read the document: %w", err)
		}
		defer func() { _ = f.Close() }() // only read from
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, evidence.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	if len(b) > evidence.MaxDocument {
		return nil, provenance.Errorf(provenance.Invalid, "%s: more than %d bytes", file, evidence.MaxDocument)
	}
	return b, nil
}

// dsseType is the media type of a DSSE envelope, by which gateways find it.
const dsseType = "application/vnd.dsse.envelope.v1+json"

// wrap makes the envelope the contract sees: the bare document or, signed with a key, a
// statement that holds it. Of one that is too large it is a statement over its hash.
func (p ownPeer) wrap(ctx context.Context, at *attestation) error {
	at.format, at.envelope, at.attached, at.mediaType = evidence.FormatPlain, at.document, at.document, "application/json"
	if at.key != "" {
		return p.sign(ctx, at)
	}
	if len(at.document) <= evidence.MaxSmall {
		return nil
	}
	p.tooLarge(at, "")
	return at.state()
}

// state makes a statement over the document's hash the envelope.
func (at *attestation) state() (err error) {
	if at.envelope, err = evidence.Statement(at.document, at.typ, at.ref.Digest); err != nil {
		return fmt.Errorf("%s: %w", at.file, err)
	}
	return nil
}

func (p ownPeer) tooLarge(at *attestation, signed string) {
	p.a.notice("%s is too large to be sent%s: a statement over its hash is, and the facts in it are this command's reading", at.file, signed)
}

// sign makes an envelope signed with a key.
func (p ownPeer) sign(ctx context.Context, at *attestation) error {
	signer, err := readKey(at.key)
	if err != nil {
		return err
	}
	if at.keyMSP, at.keyName, err = p.registered(ctx, signer); err != nil {
		return err
	}
	at.format = evidence.FormatDSSE
	statement, err := evidence.Whole(at.document, at.typ, at.ref.Digest)
	if err != nil {
		return fmt.Errorf("%s: %w", at.file, err)
	}
	if at.envelope, err = signDSSE(signer, statement); err != nil {
		return err
	}
	if len(at.envelope) <= evidence.MaxEnvelope {
		at.attached, at.mediaType = at.envelope, dsseType
		return nil
	}
	p.tooLarge(at, " signed")
	if err := at.state(); err != nil {
		return err
	}
	at.envelope, err = signDSSE(signer, at.envelope)
	return err
}

// readKey reads a private key from PEM: PKCS #8, or SEC 1 for ECDSA.
func readKey(file string) (crypto.Signer, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, provenance.Errorf(provenance.Invalid, "%s holds no PEM key", file)
	}
	if strings.Contains(block.Type, "ENCRYPTED") {
		return nil, hint(provenance.Errorf(provenance.Invalid, "%s is encrypted", file), "sign with the program that made it, as cosign attest --key: the gateway collects what it attaches")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
			return nil, provenance.Errorf(provenance.Invalid, "%s holds no PKCS #8 or EC private key", file)
		}
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, provenance.Errorf(provenance.Invalid, "%s holds a key that cannot sign", file)
	}
	return signer, nil
}

// registered finds under which name the ledger knows the key.
func (p ownPeer) registered(ctx context.Context, signer crypto.Signer) (msp, name string, err error) {
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return "", "", fmt.Errorf("read the key: %w", err)
	}
	print := fmt.Sprintf("%x", sha256.Sum256(der))
	keys, err := evaluate[[]state.TrustKey](ctx, p, "key:List")
	if err != nil {
		return "", "", err
	}
	for _, k := range keys {
		if k.Fingerprint == print && k.Withdrawn == nil {
			return k.MSP, k.Name, nil
		}
	}
	return "", "", hint(provenance.Errorf(provenance.NotFound, "no organisation registered the key with fingerprint %.12s", print),
		"an admin registers its public half: waybill key add NAME -f FILE --as ORG/admin")
}

// signDSSE wraps an in-toto statement (secure-systems-lab/dsse, protocol.md).
func signDSSE(signer crypto.Signer, statement []byte) ([]byte, error) {
	const payloadType = "application/vnd.in-toto+json"
	message := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(statement), statement)
	digest, hash := message, crypto.Hash(0)
	if _, pure := signer.Public().(ed25519.PublicKey); !pure {
		sum := sha256.Sum256(message)
		digest, hash = sum[:], crypto.SHA256
	}
	sig, err := signer.Sign(rand.Reader, digest, hash)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return json.Marshal(map[string]any{
		"payloadType": payloadType, "payload": base64.StdEncoding.EncodeToString(statement),
		"signatures": []any{map[string]string{"sig": base64.StdEncoding.EncodeToString(sig)}},
	})
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
