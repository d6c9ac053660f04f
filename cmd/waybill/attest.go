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
	noPush          bool
	user, passFile  string
	insecure        bool
	ref             provenance.Reference
	document        []byte
	envelope        []byte
	format          evidence.Format
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

TYPE is custom/MSP/NAME for a schema of your own (waybill schema add), or one of
` + strings.Join(evidence.Types(), ", ") + `.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error { return a.attest(ctx, args[0], at) }),
	}
	cmd.Flags().StringVar(&at.typ, "type", "", "the type of evidence")
	cmd.Flags().StringVar(&at.file, "file", "", "the document; - reads standard input")
	cmd.Flags().StringVar(&at.key, "key", "", "sign the document with this private key (PEM)")
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
	r, err := p.submit(ctx, map[string][]byte{"envelope": at.envelope}, "evidence:Submit",
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

// wrap makes the envelope the contract sees: the bare document, a statement
// over its hash when it is large, or such a statement signed with a key.
func (p ownPeer) wrap(ctx context.Context, at *attestation) error {
	at.format, at.envelope = evidence.FormatPlain, at.document
	if at.key == "" && len(at.document) <= evidence.MaxEnvelope {
		return nil
	}
	statement, err := evidence.Statement(at.document, at.typ, at.ref.Digest)
	if err != nil {
		return fmt.Errorf("%s: %w", at.file, err)
	}
	at.envelope = statement
	if at.key == "" {
		return nil
	}
	signer, err := readKey(at.key)
	if err != nil {
		return err
	}
	if at.keyMSP, at.keyName, err = p.registered(ctx, signer); err != nil {
		return err
	}
	at.format = evidence.FormatDSSE
	at.envelope, err = signDSSE(signer, statement)
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
	d, err := c.Push(ctx, at.ref.Repository, registry.Referrer{
		Subject: at.ref.Digest, ArtifactType: "application/vnd.waybill.evidence." + strings.ReplaceAll(at.typ, "/", ".") + ".v1+json",
		MediaType: "application/json", Blob: at.document,
	})
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
