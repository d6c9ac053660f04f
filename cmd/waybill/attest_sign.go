package main

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/cmd/signer"
)

// keyless is how to sign without a key.
type keyless struct {
	asked         bool
	token, config string
	fulcio        string
	rekor         string
	rekorVersion  int
	timestamp     string
	trust         string
}

func (k *keyless) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&k.asked, "keyless", false, "sign with a new key, certified for whoever an identity token names")
	f.StringVar(&k.token, "identity-token", "", "`file` with the identity token")
	f.StringVar(&k.config, "signing-config", "", "`file` that says which services certify and witness (signing_config.json)")
	f.StringVar(&k.fulcio, "fulcio-url", "", "certificate authority with Fulcio's API")
	f.StringVar(&k.rekor, "rekor-url", "", "transparency log with Rekor's API")
	f.IntVar(&k.rekorVersion, "rekor-version", 1, "version of the log's API: 1 or 2")
	f.StringVar(&k.timestamp, "timestamp-url", "", "timestamp authority (RFC 3161)")
	f.StringVar(&k.trust, "trust", "", "trusted root that verifies it: `NAME`, or MSP/NAME for an organisation's own")
}

// check refuses flags that contradict each other before anything is read.
func (at *attestation) check() error {
	k := at.keyless
	urls := k.fulcio != "" || k.rekor != "" || k.timestamp != ""
	switch {
	case !k.asked && (urls || k.token != "" || k.config != "" || k.trust != ""):
		return usagef("how to sign without a key was said, and not to: add --keyless")
	case !k.asked:
		return nil
	case at.key != "":
		return usagef("either --key or --keyless")
	case k.trust == "":
		return hint(usagef("--keyless needs --trust, the trusted root that verifies it"), "see what there is: waybill trust list")
	case urls == (k.config != ""):
		return usagef("--keyless needs --signing-config, or --fulcio-url with --rekor-url, --timestamp-url or both")
	}
	return nil
}

// The media types of what is attached, by which gateways find it.
const (
	dsseType   = "application/vnd.dsse.envelope.v1+json"
	bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
)

// signs makes an envelope of a statement.
type signs func(statement []byte) (envelope []byte, err error)

// wrap makes the envelope the contract sees: the bare document or, signed, a statement
// that holds it. Of one that is too large it is a statement over its hash.
func (a *app) wrap(ctx context.Context, p ownPeer, at *attestation) error {
	at.format, at.envelope, at.attached, at.mediaType = evidence.FormatPlain, at.document, at.document, "application/json"
	sign, err := a.opens(ctx, p, at)
	switch {
	case err != nil:
		return err
	case sign == nil && len(at.document) <= evidence.MaxSmall:
		return nil
	case sign == nil:
		a.tooLarge(at, "")
		return at.state()
	}
	statement, err := evidence.Whole(at.document, at.typ, at.ref.Digest)
	if err != nil {
		return fmt.Errorf("%s: %w", at.file, err)
	}
	// What a log is told cannot be taken back: it is signed once, the one or the other.
	whole := base64.StdEncoding.EncodedLen(len(statement)) <= evidence.MaxEnvelope-besideDocument
	if !whole {
		a.tooLarge(at, " signed")
		if err := at.state(); err != nil {
			return err
		}
		statement = at.envelope
	}
	if at.envelope, err = sign(statement); err != nil {
		return err
	}
	if whole {
		at.attached, at.mediaType = at.envelope, dsseType
		if at.format == evidence.FormatBundle {
			at.mediaType = bundleType
		}
	}
	return nil
}

// besideDocument is what an envelope may have beside the document: signature,
// certificates, log entries.
const besideDocument = 32 << 10

// opens says with what to sign; nil where the person vouches.
func (a *app) opens(ctx context.Context, p ownPeer, at *attestation) (signs, error) {
	switch {
	case at.keyless.asked:
		return a.openKeyless(ctx, p, at)
	case at.key == "":
		return nil, nil
	}
	key, err := a.openKey(ctx, at.key)
	if err != nil {
		return nil, err
	}
	if at.keyMSP, at.keyName, err = p.registered(ctx, key.Public()); err != nil {
		return nil, err
	}
	at.format = evidence.FormatDSSE
	return func(statement []byte) ([]byte, error) { return signDSSE(ctx, key, statement) }, nil
}

// state makes a statement over the document's hash the envelope.
func (at *attestation) state() (err error) {
	if at.envelope, err = evidence.Statement(at.document, at.typ, at.ref.Digest); err != nil {
		return fmt.Errorf("%s: %w", at.file, err)
	}
	return nil
}

func (a *app) tooLarge(at *attestation, signed string) {
	a.notice("%s is too large to be sent%s: a statement over its hash is, and the facts in it are this command's reading", at.file, signed)
}

// openKey opens a key. COSIGN_PASSWORD opens an encrypted one, which may be empty; where
// it does not and a person is there, the person is asked.
func (a *app) openKey(ctx context.Context, reference string) (signer.Key, error) {
	given := a.getenv("COSIGN_PASSWORD")
	key, err := signer.Open(ctx, reference, func() ([]byte, error) { return []byte(given), nil })
	switch {
	case signer.IsPassword(err) && given == "" && a.asks():
		key, err = signer.Open(ctx, reference, func() ([]byte, error) { return a.askPassword(reference) })
	case provenance.CodeOf(err) == provenance.NotFound:
		return nil, hint(err, "install it, or sign with the program that reaches the key, as cosign attest --key: the gateway collects what it attaches")
	}
	if signer.IsPassword(err) {
		return nil, hint(err, "COSIGN_PASSWORD, or the person at a terminal, gives the password")
	}
	return key, err
}

// asks tells whether a person can be asked: what is read is a terminal.
func (a *app) asks() bool {
	f, ok := a.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (a *app) askPassword(reference string) ([]byte, error) {
	fmt.Fprintf(a.errOut, "password of %s: ", sanitize(reference))
	defer fmt.Fprintln(a.errOut)
	f, ok := a.in.(*os.File)
	if !ok {
		return nil, errors.New("nobody to ask")
	}
	return term.ReadPassword(int(f.Fd()))
}

// registered finds under which name the ledger knows the key.
func (p ownPeer) registered(ctx context.Context, public crypto.PublicKey) (msp, name string, err error) {
	der, err := x509.MarshalPKIXPublicKey(public)
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
func signDSSE(ctx context.Context, key signer.Key, statement []byte) ([]byte, error) {
	const payloadType = "application/vnd.in-toto+json"
	sig, err := key.Sign(ctx, signer.PreAuth(payloadType, statement))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return json.Marshal(map[string]any{
		"payloadType": payloadType, "payload": base64.StdEncoding.EncodeToString(statement),
		"signatures": []any{map[string]string{"sig": base64.StdEncoding.EncodeToString(sig)}},
	})
}

// openKeyless signs for the bearer of an identity token. The trusted root is there before
// anything is told to a log, and verifies the bundle before anybody else sees it.
func (a *app) openKeyless(ctx context.Context, p ownPeer, at *attestation) (signs, error) {
	services, err := a.services(at.keyless, time.Now())
	if err != nil {
		return nil, err
	}
	token, err := signer.Token(ctx, at.keyless.token, a.getenv)
	if err != nil {
		return nil, hint(err, "--identity-token FILE, SIGSTORE_ID_TOKEN, or a GitHub Actions job with permissions: id-token: write")
	}
	at.keyMSP, at.keyName = at.keyless.root()
	root, err := p.rootInForce(ctx, at.keyMSP, at.keyName)
	if err != nil {
		return nil, hint(err, "see what there is: waybill trust list")
	}
	at.format = evidence.FormatBundle
	return func(statement []byte) ([]byte, error) {
		envelope, err := services.Sign(ctx, token, statement)
		if err != nil {
			return nil, err
		}
		request := evidence.Request{Subject: at.ref.Digest, Format: evidence.FormatBundle, Envelope: envelope, Now: time.Now(), Schema: evidence.NoFacts}
		if _, err := evidence.Verify(request, root); err != nil {
			return nil, hint(fmt.Errorf("trusted root %s does not verify what was signed: %w", at.keyless.trust, err),
				"the services that signed are others than the root trusts: waybill trust show")
		}
		return envelope, nil
	}, nil
}

// rootInForce is a trusted root that still verifies, as the organisation's peer has it.
func (p ownPeer) rootInForce(ctx context.Context, msp, name string) (*evidence.Key, error) {
	in, _, err := p.trustedRoot(ctx, msp, name, 0)
	if err != nil {
		return nil, err
	}
	if w := in.Root.Withdrawn; w != nil {
		return nil, provenance.Errorf(provenance.Conflict, "%s was withdrawn: %s", state.RootName(msp, name), w.Reason)
	}
	return &evidence.Key{MSP: msp, Name: name, Kind: evidence.TrustedRoot, Root: in.Version.Text}, nil
}

func (a *app) services(k keyless, now time.Time) (signer.Services, error) {
	if k.config != "" {
		text, err := a.readFile("signing configuration", k.config, maxText)
		if err != nil {
			return signer.Services{}, err
		}
		s, err := signer.ReadServices(text, now)
		if err != nil {
			return s, fmt.Errorf("%s: %w", k.config, err)
		}
		return s, nil
	}
	s := signer.Services{Authority: k.fulcio}
	if k.rekor != "" {
		s.Logs = []signer.Log{{URL: k.rekor, Version: k.rekorVersion}}
	}
	if k.timestamp != "" {
		s.Stamps = []string{k.timestamp}
	}
	return s, nil
}

// root is whose trusted root is meant: no organisation's for a shared one.
func (k keyless) root() (msp, name string) {
	if msp, name, own := strings.Cut(k.trust, "/"); own {
		return msp, name
	}
	return "", k.trust
}
