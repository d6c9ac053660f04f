package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Key signs with a private key that it does not show.
type Key interface {
	Public() crypto.PublicKey
	// Sign signs a message: Ed25519 as it is, others its SHA-256.
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// Password is asked for when a key turns out to be encrypted.
type Password func() ([]byte, error)

// errPassword says that a key does not open with the password that was given.
var errPassword = errors.New("wrong password")

// IsPassword tells whether a key did not open for want of the right password.
func IsPassword(err error) bool { return errors.Is(err, errPassword) }

// Open opens the key that a reference names: a PEM file, or NAME://KEY, for which the
// program sigstore-kms-NAME on the PATH signs, as awskms://…, hashivault://…. A PKCS#11
// URI (RFC 7512: pkcs11:…) goes to sigstore-kms-pkcs11.
func Open(ctx context.Context, reference string, password Password) (Key, error) {
	if rest, ok := strings.CutPrefix(reference, "pkcs11:"); ok {
		reference = "pkcs11://" + strings.TrimPrefix(rest, "//")
	}
	if name, _, ok := strings.Cut(reference, "://"); ok {
		return openProgram(ctx, name, reference)
	}
	return openFile(reference, password)
}

// fileKey is a private key in memory.
type fileKey struct{ crypto.Signer }

// Sign implements Key.
func (k fileKey) Sign(_ context.Context, message []byte) ([]byte, error) {
	if _, pure := k.Public().(ed25519.PublicKey); pure {
		return k.Signer.Sign(rand.Reader, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return k.Signer.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// maxKeyFile bounds what is read of a key's file.
const maxKeyFile = 64 << 10

func openFile(file string, password Password) (Key, error) {
	text, err := readFile(file, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	block := privateKey(text)
	if block == nil {
		return nil, provenance.Errorf(provenance.Invalid, "%s holds no private key in PEM", file)
	}
	asked := false
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(pem.EncodeToMemory(block), func(bool) ([]byte, error) {
		asked = true
		return password()
	})
	switch {
	case err != nil && asked:
		return nil, fmt.Errorf("%s does not open: %w", file, errPassword)
	case err != nil:
		return nil, provenance.Errorf(provenance.Invalid, "%s holds no private key that can be read (%s)", file, block.Type)
	}
	if p, ok := key.(*ed25519.PrivateKey); ok {
		key = *p
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, provenance.Errorf(provenance.Invalid, "%s holds a key that cannot sign", file)
	}
	return fileKey{signer}, nil
}

// readFile reads a file of at most so many bytes: one that is named by mistake may be
// a device without an end.
func readFile(file string, most int64) ([]byte, error) {
	f, err := os.Open(file) //nolint:gosec // whoever runs the command names it
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = provenance.Errorf(provenance.Invalid, "%s has more than %d bytes", file, most)
	}
	return text, err
}

// privateKey returns the first private key of a file: openssl writes parameters before it.
func privateKey(text []byte) *pem.Block {
	for {
		block, rest := pem.Decode(text)
		if block == nil || strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return block
		}
		text = rest
	}
}

// programName is what may follow sigstore-kms-: no path.
var programName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// programKey is a key that a program holds.
type programKey struct {
	kms.SignerVerifier
	public crypto.PublicKey
}

func openProgram(ctx context.Context, name, reference string) (Key, error) {
	if !programName.MatchString(name) {
		return nil, provenance.Errorf(provenance.Invalid, "key %q: want a file, or NAME://KEY with a name as awskms", reference)
	}
	k, err := kms.Get(ctx, reference, crypto.SHA256)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, provenance.Errorf(provenance.NotFound, "no program sigstore-kms-%s is on the PATH, which would sign for %s://", name, name)
	case err != nil:
		return nil, fmt.Errorf("sigstore-kms-%s: %w", name, err)
	}
	public, err := k.PublicKey(options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("sigstore-kms-%s: %w", name, err)
	}
	return programKey{k, public}, nil
}

// Public implements Key.
func (k programKey) Public() crypto.PublicKey { return k.public }

// Sign implements Key.
func (k programKey) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return k.SignMessage(bytes.NewReader(message), options.WithContext(ctx))
}
