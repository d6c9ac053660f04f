package channel

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

const (
	// maxCertificates bounds each list of authorities: a company's issuing authorities, and two generations of each.
	maxCertificates = 8
	// maxLists bounds revocation lists: one of each authority.
	maxLists = 16
)

var (
	orgName = regexp.MustCompile(`^[a-z][a-z0-9]{0,30}$`)
	mspName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,60}$`)
	// chainName is what Fabric and files bear as a channel's name.
	chainName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,60}$`)
	hostName  = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
	numbers   = regexp.MustCompile(`^[0-9.]+$`)
)

// shape checks everything but the certificates.
func (d Descriptor) shape() error {
	switch {
	case d.Version != Version:
		return fmt.Errorf("version %d; this program writes version %d", d.Version, Version)
	case !orgName.MatchString(d.Name):
		return fmt.Errorf("name %.80q: want %s", d.Name, orgName)
	case !mspName.MatchString(d.MSPID):
		return fmt.Errorf("MSP id %.80q: want %s", d.MSPID, mspName)
	case len(d.Roots)+len(d.Intermediates) > maxCertificates || len(d.TLSRoots)+len(d.TLSIntermediates) > maxCertificates:
		return fmt.Errorf("more than %d authorities of one kind", maxCertificates)
	case len(d.RevocationLists) > maxLists:
		return fmt.Errorf("%d revocation lists; at most %d", len(d.RevocationLists), maxLists)
	}
	if err := d.Peer.check(); err != nil {
		return fmt.Errorf("peer: %w", err)
	}
	if d.Orderer != nil {
		if err := d.Orderer.Endpoint().check(); err != nil {
			return fmt.Errorf("orderer: %w", err)
		}
	}
	return checkGateway(d.Gateway)
}

// check reads the descriptor's certificates and compares each with its field.
func (d Descriptor) check(at time.Time) (*authorities, error) {
	if err := d.shape(); err != nil {
		return nil, err
	}
	var a authorities
	var err error
	if a.enrolment, err = newPool(x509.ExtKeyUsageServerAuth, d.Roots, d.Intermediates, at); err != nil {
		return nil, fmt.Errorf("enrolment authorities: %w", err)
	}
	if a.tls, err = newPool(x509.ExtKeyUsageAny, d.TLSRoots, d.TLSIntermediates, at); err != nil {
		return nil, fmt.Errorf("TLS authorities: %w", err)
	}
	for i, text := range d.RevocationLists {
		if err := a.enrolment.revocation(text); err != nil {
			return nil, fmt.Errorf("revocation list %d: %w", i+1, err)
		}
	}
	if d.Orderer != nil {
		if err := d.Orderer.check(&a, at); err != nil {
			return nil, fmt.Errorf("orderer: %w", err)
		}
	}
	return &a, nil
}

func (e Endpoint) check() error {
	if e.Port < 1 || e.Port > 65535 {
		return fmt.Errorf("port %d", e.Port)
	}
	if numbers.MatchString(e.Host) {
		if addr, err := netip.ParseAddr(e.Host); err != nil || addr.IsUnspecified() || addr.IsMulticast() {
			return fmt.Errorf("host %.80q: not the IPv4 address of a host", e.Host)
		}
		return nil
	}
	if len(e.Host) > 253 || !hostName.MatchString(e.Host) {
		return fmt.Errorf("host %.80q: want a name in lower case, or an IPv4 address", e.Host)
	}
	return nil
}

func (o *Orderer) check(a *authorities, at time.Time) error {
	identity, err := parseCertificate(o.Identity)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	if err := a.enrolment.pinned(identity, "orderer", at); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	for _, side := range []struct{ name, text, host string }{{"client certificate", o.ClientTLS, ""}, {"server certificate", o.ServerTLS, o.Host}} {
		cert, err := parseCertificate(side.text)
		if err != nil {
			return fmt.Errorf("%s: %w", side.name, err)
		}
		if err := a.tls.node(cert, side.host, at); err != nil {
			return fmt.Errorf("%s: %w", side.name, err)
		}
	}
	return nil
}

func checkGateway(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("gateway: not a URL")
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil || (&url.URL{Scheme: "https", Host: u.Host}).String() != address {
		return fmt.Errorf("gateway %.80q: want https://host:port", address)
	}
	if err := (Endpoint{u.Hostname(), port}).check(); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// together says what is wrong with organisations that are to share a channel. Each was checked alone.
func together(orgs []Descriptor) error {
	taken := map[string]string{} // what only one may have, to whose it is
	claim := func(org, kind, what string) error {
		if other, ok := taken[kind+"\x00"+what]; ok {
			return fmt.Errorf("%s and %s have the same %s", other, org, kind)
		}
		taken[kind+"\x00"+what] = org
		return nil
	}
	for _, d := range orgs {
		if err := d.shape(); err != nil {
			return fmt.Errorf("%.80q: %w", d.MSPID, err)
		}
		a, err := d.keys()
		if err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		own := [][2]string{{"name", d.Name}, {"MSP id", d.MSPID}, {"endpoint", d.Peer.String()}}
		if d.Orderer != nil {
			own = append(own, [2]string{"endpoint", d.Orderer.Endpoint().String()})
		}
		for _, key := range a {
			// Whoever has another's authority as its own would have the other's people as its own.
			own = append(own, [2]string{"authority", key})
		}
		for _, o := range own {
			if err := claim(d.Name, o[0], o[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// keys returns the public keys of all of the organisation's authorities, each once.
func (d Descriptor) keys() ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, list := range [][]string{d.Roots, d.Intermediates, d.TLSRoots, d.TLSIntermediates} {
		for _, text := range list {
			cert, err := parseCertificate(text)
			if err != nil {
				return nil, err
			}
			if key := string(cert.RawSubjectPublicKeyInfo); !seen[key] {
				seen[key] = true
				out = append(out, key)
			}
		}
	}
	return out, nil
}
