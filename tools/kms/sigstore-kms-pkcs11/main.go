// Sigstore-kms-pkcs11 signs with keys of a token, as a smart card or an HSM, that a
// PKCS#11 URI names (RFC 7512): pkcs11:token=…;object=…?module-path=…. The driver is
// that of module-path, or of COSIGN_PKCS11_MODULE_PATH; the PIN is in the file of
// pin-source, or in COSIGN_PKCS11_PIN, and never in the URI.
package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"

	"github.com/ThalesGroup/crypto11"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"

	"github.com/waybill-dev/waybill/tools/kms/serve"
)

func main() {
	os.Exit(serve.Serve(os.Args, os.Stdin, os.Stdout, os.Stderr, open))
}

// open leaves the token open: the program ends with its answer.
func open(_ context.Context, text string, args *common.PluginArgs) (kms.SignerVerifier, error) {
	u, err := parseURI(text)
	if err != nil {
		return nil, err
	}
	if u.module == "" {
		u.module = os.Getenv("COSIGN_PKCS11_MODULE_PATH")
	}
	if u.module == "" {
		return nil, errors.New("no driver: name it with module-path in the URI, or in COSIGN_PKCS11_MODULE_PATH")
	}
	pin, err := u.pin(os.Getenv)
	if err != nil {
		return nil, err
	}
	token, err := crypto11.Configure(&crypto11.Config{Path: u.module, TokenLabel: u.token, SlotNumber: u.slot, Pin: pin})
	if err != nil {
		return nil, fmt.Errorf("open the token: %w", err)
	}
	pairs, err := token.FindKeyPairs(u.id, u.object)
	switch {
	case err != nil:
		return nil, fmt.Errorf("find the key: %w", err)
	case len(pairs) != 1:
		return nil, fmt.Errorf("%d keys of the token are meant: want one", len(pairs))
	}
	return held{pairs[0], args.InitOptions.HashFunc}, nil
}

// held is a key of the token.
type held struct {
	crypto.Signer
	hash crypto.Hash
}
