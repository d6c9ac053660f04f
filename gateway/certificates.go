package gateway

import (
	"crypto/x509"
	"encoding/pem"
	"strings"

	"github.com/waybill-dev/waybill/gateway/keypair"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// certificates returns every certificate whose end would be noticed here: the gateway's own, and those of the
// channel's members.
func (g *service) certificates() []readmodel.Certificate {
	var out []readmodel.Certificate
	add := func(org, use string, c *x509.Certificate) {
		if c != nil {
			out = append(out, readmodel.Certificate{Org: org, Use: use, Name: name(c), NotBefore: c.NotBefore, NotAfter: c.NotAfter})
		}
	}
	add(g.cfg.MSPID, "gateway-api", g.apiPair.Leaf())
	add(g.cfg.MSPID, "gateway-identity", g.ledger.Certificate())
	if g.hooksPair != nil {
		add(g.cfg.MSPID, "gateway-hooks", g.hooksPair.Leaf())
	}
	for _, o := range g.follower.Members() {
		for _, list := range []struct {
			use   string
			certs [][]byte
		}{{"root", o.RootCerts}, {"intermediate", o.IntermediateCerts}, {"orderer", o.Orderers}, {"orderer-tls", o.OrderersTLS}} {
			for _, raw := range list.certs {
				if block, _ := pem.Decode(raw); block != nil {
					if c, err := x509.ParseCertificate(block.Bytes); err == nil { // else it vouches for nobody here
						add(o.MSPID, list.use, c)
					}
				}
			}
		}
	}
	return out
}

// longestName bounds what of a certificate's name is shown.
const longestName = 100

// name is what others wrote into their certificates, fit for a label and a screen.
func name(c *x509.Certificate) string {
	text := strings.ToValidUTF8(c.Subject.CommonName, "\uFFFD")
	if runes := []rune(text); len(runes) > longestName {
		return string(runes[:longestName])
	}
	return text
}

// renewable are the files that are read again while the gateway runs.
func (g *service) renewable() map[string]keypair.Reloader {
	all := map[string]keypair.Reloader{"api.tls_cert": g.apiPair, "identity.cert": g.ledger}
	if g.hooksPair != nil {
		all["hooks.tls_cert"] = g.hooksPair
	}
	return all
}
