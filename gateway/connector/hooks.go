package connector

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// OwnHooks is how this process reaches its own hooks: past every proxy, and
// with the configured certificate as the only one that is trusted.
func OwnHooks(listen, tlsCert string) (address string, client *http.Client, err error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", nil, fmt.Errorf("hooks.listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	transport := &http.Transport{DisableKeepAlives: true} // no Proxy: it would see the secret
	client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if tlsCert == "" {
		return "http://" + net.JoinHostPort(host, port), client, nil
	}
	b, err := os.ReadFile(tlsCert)
	if err != nil {
		return "", nil, fmt.Errorf("hooks.tls_cert: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return "", nil, provenance.Errorf(provenance.Invalid, "hooks.tls_cert %s: no PEM certificate in it", tlsCert)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", nil, fmt.Errorf("hooks.tls_cert: %w", err)
	}
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool(), ServerName: nameOf(leaf)}
	transport.TLSClientConfig.RootCAs.AddCert(leaf)
	return "https://" + net.JoinHostPort(host, port), client, nil
}

// nameOf is a name that a certificate is good for.
func nameOf(leaf *x509.Certificate) string {
	switch {
	case len(leaf.DNSNames) > 0:
		return strings.Replace(leaf.DNSNames[0], "*", "waybill", 1)
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	}
	return leaf.Subject.CommonName
}
