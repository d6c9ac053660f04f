package org

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/youmark/pkcs8"

	"github.com/waybill-dev/waybill/network/disk"
)

func dataHash(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

// iterations is what OWASP's cheat sheet asks of PBKDF2 with SHA-256: a third of a second here.
const iterations = 600_000

// encryptedBlock is the PEM type of a key in PKCS #8 that a passphrase opens.
const encryptedBlock = "ENCRYPTED PRIVATE KEY"

// ErrPassphrase says that a key does not open with the passphrase that was given.
var ErrPassphrase = errors.New("wrong passphrase")

// Those who act for the organisation here. The robot is who the nodes' own programs act as: its key
// is never encrypted, so that nobody needs to be there.
const (
	admin = "admin"
	robot = "gateway"
)

// person returns the certificate and the key of one of the organisation's people.
func (f *Folder) person(name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	cert, err := readCert(f.personCert(name))
	if err != nil {
		return nil, nil, err
	}
	key, err := ReadKey(f.personKey(name), func() ([]byte, error) {
		if f.opts.Passphrase == nil {
			return nil, fmt.Errorf("the key of %s is encrypted, and there is nobody to ask for its passphrase", name)
		}
		return f.opts.Passphrase(name)
	})
	return cert, key, err
}

// Encrypted tells whether a key's file wants a passphrase.
func Encrypted(file string) (bool, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	block, _ := pem.Decode(raw)
	return block != nil && block.Type == encryptedBlock, nil
}

// ReadKey reads an ECDSA key in PKCS #8. The passphrase is asked for only if the key is encrypted; it is
// ErrPassphrase if it does not open the key.
func ReadKey(file string, passphrase func() ([]byte, error)) (*ecdsa.PrivateKey, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	switch {
	case block == nil:
		return nil, fmt.Errorf("read %s: no PEM in it", file)
	case block.Type != encryptedBlock:
		return readKey(file)
	}
	word, err := passphrase()
	if err != nil {
		return nil, err
	}
	key, err := pkcs8.ParsePKCS8PrivateKeyECDSA(block.Bytes, word)
	if err != nil {
		// The library does not say which: what it decrypted is no key.
		return nil, fmt.Errorf("%s does not open: %w", file, ErrPassphrase)
	}
	return key, nil
}

// Protect encrypts the key of one of the organisation's people with a passphrase. The plain key is
// gone from the folder afterwards, not from its disk.
func (f *Folder) Protect(ctx context.Context, name string, passphrase []byte) error {
	if name == robot {
		return fmt.Errorf("%s acts when nobody is there to type a passphrase", name)
	}
	if len(passphrase) == 0 {
		return errors.New("an empty passphrase protects nothing")
	}
	if _, ok := f.Client().People[name]; !ok {
		return fmt.Errorf("organisation %s has no %q", f.spec.Name, name)
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	files, err := f.keysOf(name)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := protect(file, passphrase); err != nil {
			return fmt.Errorf("encrypt the key of %s: %w", name, err)
		}
	}
	return nil
}

// keysOf are the files with a person's keys: that in use, and those that renewals left beside it. A link is followed:
// what it leads to would else stay as it is.
func (f *Folder) keysOf(name string) ([]string, error) {
	inUse, err := filepath.EvalSymlinks(f.personKey(name))
	if err != nil {
		return nil, err
	}
	generations, err := filepath.Glob(f.at("pairs", name, "[0-9]*", "key.pem"))
	if err != nil {
		return nil, err
	}
	for i, file := range generations {
		if generations[i], err = filepath.EvalSymlinks(file); err != nil {
			return nil, err
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(append(generations, inUse)))), nil
}

func protect(file string, passphrase []byte) error {
	have, err := Encrypted(file)
	if err != nil || have {
		return err
	}
	key, err := readKey(file)
	if err != nil {
		return err
	}
	text, err := EncryptKey(key, passphrase)
	if err != nil {
		return err
	}
	return disk.Write(file, text, 0o600)
}

// EncryptKey returns the PEM of a key that the passphrase opens.
func EncryptKey(key crypto.PrivateKey, passphrase []byte) ([]byte, error) {
	der, err := pkcs8.MarshalPrivateKey(key, passphrase, &pkcs8.Opts{
		Cipher:  pkcs8.AES256CBC,
		KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: iterations, HMACHash: crypto.SHA256},
	})
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: encryptedBlock, Bytes: der}), nil
}
