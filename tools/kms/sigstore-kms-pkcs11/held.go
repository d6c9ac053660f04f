package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"io"

	"github.com/sigstore/sigstore/pkg/signature"
)

var errNotHere = errors.New("a PKCS#11 key is made by the tools of its token")

// PublicKey implements signature.PublicKeyProvider.
func (h held) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return h.Public(), nil
}

// SignMessage implements signature.Signer.
func (h held) SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error) {
	digest, hash, err := signature.ComputeDigestForSigning(message, h.hash, []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}, opts...)
	if err != nil {
		return nil, err
	}
	return h.Sign(rand.Reader, digest, hash)
}

// VerifySignature implements signature.Verifier.
func (h held) VerifySignature(sig, message io.Reader, opts ...signature.VerifyOption) error {
	v, err := signature.LoadVerifier(h.Public(), h.hash)
	if err != nil {
		return err
	}
	return v.VerifySignature(sig, message, opts...)
}

// CreateKey implements kms.SignerVerifier.
func (held) CreateKey(context.Context, string) (crypto.PublicKey, error) { return nil, errNotHere }

// CryptoSigner implements kms.SignerVerifier.
func (h held) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return h.Signer, h.hash, nil
}

// SupportedAlgorithms implements kms.SignerVerifier.
func (held) SupportedAlgorithms() []string { return nil }

// DefaultAlgorithm implements kms.SignerVerifier.
func (held) DefaultAlgorithm() string { return "" }
