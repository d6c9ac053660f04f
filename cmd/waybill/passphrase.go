package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/org"
)

// maxPassphrase is how much is read of a passphrase's file, in bytes.
const maxPassphrase = 4096

// unlocked is p with its key in memory if its file is encrypted: whatever signs then needs no passphrase.
func (a *app) unlocked(p person) (person, error) {
	locked, err := org.Encrypted(p.keys.Key)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // whoever needs it misses it
	}
	if err != nil || !locked {
		return p, err
	}
	key, err := org.ReadKey(p.keys.Key, func() ([]byte, error) { return a.passphrase(p.String()) })
	if err != nil {
		return p, wrongPassphrase(err)
	}
	p.key = key
	return p, nil
}

// passphrase is what opens the key of somebody: the content of --passphrase-file, or what is typed.
func (a *app) passphrase(whose string) ([]byte, error) {
	if a.passphraseFile != "" {
		word, err := a.readFile("passphrase", a.passphraseFile, maxPassphrase)
		if err != nil {
			return nil, err
		}
		if word, _, _ = bytes.Cut(word, []byte("\n")); len(bytes.TrimSpace(word)) > 0 {
			return bytes.TrimSuffix(word, []byte("\r")), nil
		}
		return nil, provenance.Errorf(provenance.Invalid, "%s: no passphrase in its first line", a.passphraseFile)
	}
	if !a.asks() {
		return nil, hint(fmt.Errorf("the key of %s wants a passphrase", whose), "name a file with its passphrase: --passphrase-file FILE (WAYBILL_PASSPHRASE_FILE)")
	}
	return a.askPassword(whose)
}

func wrongPassphrase(err error) error {
	if errors.Is(err, org.ErrPassphrase) {
		return hint(err, "--passphrase-file (WAYBILL_PASSPHRASE_FILE), or a person at a terminal, gives the passphrase")
	}
	return err
}

// newPassphrase asks twice: what was mistyped once would open nothing ever again.
func (a *app) newPassphrase(whose string) ([]byte, error) {
	word, err := a.passphrase(whose)
	if err != nil || a.passphraseFile != "" {
		return word, err
	}
	again, err := a.askPassword(whose + " once more")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(word, again) {
		return nil, errors.New("the two differ, nothing was changed")
	}
	return word, nil
}
