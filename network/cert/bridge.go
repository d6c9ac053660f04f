package cert

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"time"

	"github.com/waybill-dev/waybill/network/disk"
)

// bridgePath is where the certificate lies that the authority before gave its successor. It needs no key of its own.
func (f *Folder) bridgePath() string { return f.at("ca", "tlsca-bridge.crt") }

// OrdererTLS names the pair at which other orderers dial ours.
const OrdererTLS = "orderer-tls"

// mayBridge says whether an authority may vouch for another one. Those that Waybill made before could not.
func mayBridge(old *x509.Certificate) bool { return old.MaxPathLen != 0 || !old.MaxPathLenZero }

// bridge has the old TLS authority vouch for the new one. In Fabric 3.1.1 the connection of an orderer to another keeps the
// authorities of the moment it was made (orderer/common/cluster, commauth.go: nothing in the channel's configuration makes it
// anew but that the other leaves the consenters). With this certificate behind the orderer's own, whoever
// trusts the old authority alone comes to trust it, and nobody else has to restart an orderer for a roll-over of ours.
func (f *Folder) bridge(old signer, fresh *x509.Certificate) error {
	if !mayBridge(old.cert) {
		if err := os.Remove(f.bridgePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("make serial number: %w", err)
	}
	until := fresh.NotAfter
	if old.cert.NotAfter.Before(until) {
		until = old.cert.NotAfter
	}
	der, err := old.sign(&x509.Certificate{
		SerialNumber: serial, RawSubject: fresh.RawSubject, Subject: fresh.Subject, SubjectKeyId: fresh.SubjectKeyId,
		NotBefore: fresh.NotBefore, NotAfter: until, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: fresh.KeyUsage,
	}, fresh.PublicKey)
	if err != nil {
		return err
	}
	return disk.Write(f.bridgePath(), encodeCert(der), 0o644)
}

// behind is what an orderer serves behind its certificate: the bridge to the authority before, while there is one.
func (f *Folder) behind(p Pair, authority *x509.Certificate, now time.Time) ([]byte, error) {
	if p.Name != OrdererTLS || authority == nil {
		return nil, nil
	}
	c, err := readCert(f.bridgePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !publicEqual(c.PublicKey, authority.PublicKey) || now.After(c.NotAfter) {
		return nil, nil
	}
	return encodeCert(c.Raw), nil
}

// voteTodo is what is left to do once the new authorities are put to the vote. Without a bridge the others' orderers would not
// trust a certificate that the new ones signed before they were started anew.
func (f *Folder) voteTodo(todo string) (string, error) {
	_, err := os.Stat(f.bridgePath())
	if errors.Is(err, fs.ErrNotExist) {
		return todo + "; once it is in force, every other organisation restarts its orderer, one after the other", nil
	}
	return todo, err
}
