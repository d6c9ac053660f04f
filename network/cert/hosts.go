package cert

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
)

// Names tells whether the certificate of a pair, the prepared one where there is one, names all of those hosts.
func (f *Folder) Names(pair string, hosts ...string) (bool, error) {
	pairs, err := f.Select([]string{pair})
	if err != nil {
		return false, err
	}
	c, err := readCert(pairs[0].Cert)
	if err != nil {
		return false, err
	}
	return len(unnamed(c, hosts)) == 0, nil
}

// unnamed returns those of the hosts that a certificate does not name.
func unnamed(c *x509.Certificate, hosts []string) []string {
	return slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { return c.VerifyHostname(host) == nil })
}

// withHosts is what a certificate would be if it named those hosts too. What it names already stays: until the channel
// knows the new address, others dial the old one.
func withHosts(old *x509.Certificate, hosts []string) *x509.Certificate {
	more := unnamed(old, hosts)
	if len(more) == 0 {
		return old
	}
	c := *old
	c.DNSNames, c.IPAddresses = slices.Clone(old.DNSNames), slices.Clone(old.IPAddresses)
	for _, host := range more {
		if ip := net.ParseIP(host); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, host)
		}
	}
	return &c
}

// namesWhatWasAsked refuses an answer that leaves out a host of its request: nobody could dial it by that.
func (f *Folder) namesWhatWasAsked(p Pair, answer *x509.Certificate) error {
	raw, err := os.ReadFile(f.request(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return fmt.Errorf("%s holds no request", f.relative(f.request(p)))
	}
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return fmt.Errorf("request %s: %w", f.relative(f.request(p)), err)
	}
	return sameHosts(p, &x509.Certificate{DNSNames: asked.DNSNames, IPAddresses: asked.IPAddresses}, answer)
}
