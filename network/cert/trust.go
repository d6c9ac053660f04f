package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/waybill-dev/waybill/network/disk"
)

// trust writes the authorities to where the own nodes look for them: one file each in an MSP's folders, all in one
// file elsewhere.
func (f *Folder) trust() error {
	for _, a := range []struct {
		kind         Authority
		folder, name string
		bundles      []string
	}{
		{Enrolment, "cacerts", "ca", nil},
		{Transport, "tlscacerts", "tlsca", []string{f.at("peer", "tls", "ca.crt"), f.at("orderer", "tls", "ca.crt"), f.at("chaincode", "ca.crt")}},
	} {
		certs, err := readCerts(f.authorityPair(a.kind).Cert)
		if err != nil {
			return err
		}
		for _, msp := range []string{f.at("msp"), f.at("peer", "msp"), f.at("orderer", "msp")} {
			if err := trustIn(filepath.Join(msp, a.folder), a.name, certs); err != nil {
				return err
			}
		}
		var all []byte
		for _, c := range certs {
			all = append(all, encodeCert(c.Raw)...)
		}
		for _, file := range a.bundles {
			if _, err := os.Stat(filepath.Dir(file)); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := disk.Write(file, all, 0o644); err != nil {
				return err
			}
		}
	}
	return f.dialChaincode()
}

// trustIn writes one file for each. By their names they are in the order of the bundle, which a descriptor keeps. It writes
// the new before it removes the old: a node that starts meanwhile trusts too many of ours, never too few.
func trustIn(dir, name string, certs []*x509.Certificate) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	keep := map[string]bool{}
	for i, c := range certs {
		file := filepath.Join(dir, name+".pem")
		if i > 0 {
			file = filepath.Join(dir, fmt.Sprintf("%s%d.pem", name, i+1))
		}
		keep[file] = true
		if err := disk.Write(file, encodeCert(c.Raw), 0o644); err != nil {
			return err
		}
	}
	have, err := filepath.Glob(filepath.Join(dir, name+"*.pem"))
	if err != nil {
		return err
	}
	for _, file := range have {
		if !keep[file] {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}
