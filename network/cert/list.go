package cert

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Warn is how long before its end a certificate is warned of: a month, and a third of its life where that is shorter.
const Warn = 30 * 24 * time.Hour

// Standing is how a certificate stands.
type Standing string

// The standings, from good to bad.
const (
	Good      Standing = "ok"
	EndsSoon  Standing = "ends soon"
	NotYet    Standing = "not in force yet"
	Ended     Standing = "expired"
	IsRevoked Standing = "revoked"
)

// Entry is one certificate of the organisation, or of the channel.
type Entry struct {
	Name     string    `json:"name"` // as renew takes it; of the channel's: MSPID and what it is
	For      string    `json:"for"`
	Subject  string    `json:"subject"`
	Issuer   string    `json:"issuer"`
	Serial   string    `json:"serial"`         // hexadecimal
	File     string    `json:"file,omitempty"` // in the folder; none for the channel's
	Begins   time.Time `json:"notBefore"`
	Expires  time.Time `json:"notAfter"`
	Seconds  int64     `json:"secondsLeft"` // below zero once it has ended
	Days     int       `json:"daysLeft"`
	Standing Standing  `json:"standing"`
	Prepared bool      `json:"prepared,omitempty"` // a newer one waits
	Ours     bool      `json:"ours"`
	// Consenter says that the channel pins it: the enrolment of one of its orderers.
	Consenter bool `json:"consenter,omitempty"`
}

// List returns every certificate of the folder, and with a channel those that it knows: consenters' and authorities'. Whatever
// cannot be read is an error: it is what a node would stumble over.
func (f *Folder) List(channel *Channel, now time.Time) ([]Entry, error) {
	lists := f.lists(channel)
	var out []Entry
	for _, a := range []struct {
		name, what, file string
	}{{"ca", "enrols people and nodes", "ca.crt"}, {"tlsca", "vouches for servers", "tlsca.crt"}} {
		certs, err := readCerts(f.at("ca", a.file))
		if err != nil {
			return nil, err
		}
		for i, c := range certs {
			e := entry(c, now, lists)
			e.Name, e.For, e.File, e.Ours = a.name, a.what, "ca/"+a.file, true
			if i > 0 {
				e.Name += fmt.Sprintf("-%d", i+1)
			}
			out = append(out, e)
		}
	}
	pairs, err := f.Pairs()
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		c, err := readCert(p.Cert)
		if err != nil {
			return nil, err
		}
		e := entry(c, now, lists)
		e.Name, e.For, e.File, e.Ours = p.Name, p.For, f.relative(p.Cert), true
		staged, err := f.staged(p)
		if err != nil {
			return nil, err
		}
		e.Prepared = staged != ""
		out = append(out, e)
	}
	if channel == nil {
		return out, nil
	}
	return append(out, channel.List(now)...), nil
}

// List returns the certificates that the channel's configuration knows.
func (c Channel) List(now time.Time) []Entry {
	var out []Entry
	for _, m := range c.Members {
		lists := parseLists(m.Lists)
		for _, kind := range []struct {
			name, what string
			certs      [][]byte
		}{
			{"root", "enrols people and nodes", m.Roots}, {"intermediate", "enrols people and nodes", m.Intermediates},
			{"tls-root", "vouches for servers", m.TLSRoots}, {"tls-intermediate", "vouches for servers", m.TLSBelow},
		} {
			for _, raw := range kind.certs {
				out = append(out, ofChannel(m.MSPID+" "+kind.name, kind.what, raw, now, nil))
			}
		}
		for _, o := range c.Consenters {
			if o.GetMspId() != m.MSPID {
				continue
			}
			name := fmt.Sprintf("%s consenter %d", m.MSPID, o.GetId())
			enrolled := ofChannel(name+" enrolment", "signs blocks", o.GetIdentity(), now, lists)
			enrolled.Consenter = true
			out = append(out, enrolled,
				// SmartBFT's orderers know each other by their enrolment; what is pinned of TLS is looked at by nobody.
				ofChannel(name+" tls", "serves an orderer", o.GetServerTlsCert(), now, nil))
		}
	}
	return out
}

func ofChannel(name, what string, raw []byte, now time.Time, lists []*x509.RevocationList) Entry {
	certs, err := parseCerts(raw)
	if err != nil { // the channel accepted it; it vouches for nobody here
		return Entry{Name: name, For: what, Subject: "not to be read: " + err.Error(), Standing: Ended}
	}
	e := entry(certs[0], now, lists)
	e.Name, e.For = name, what
	return e
}

func entry(c *x509.Certificate, now time.Time, lists []*x509.RevocationList) Entry {
	left := c.NotAfter.Sub(now)
	e := Entry{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), Serial: hex.EncodeToString(c.SerialNumber.Bytes()),
		Begins: c.NotBefore.UTC(), Expires: c.NotAfter.UTC(), Seconds: int64(left / time.Second), Days: int(left / (24 * time.Hour)), Standing: Good,
	}
	switch {
	case revoked(c, lists):
		e.Standing = IsRevoked
	case left <= 0:
		e.Standing = Ended
	case now.Before(c.NotBefore):
		e.Standing = NotYet
	case left <= warnFrom(c):
		e.Standing = EndsSoon
	}
	return e
}

// warnFrom is how long before its end a certificate is warned of.
func warnFrom(c *x509.Certificate) time.Duration { return min(Warn, c.NotAfter.Sub(c.NotBefore)/3) }

func readCerts(file string) ([]*x509.Certificate, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	certs, err := parseCerts(raw)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", file, err)
	}
	return certs, nil
}

// lists returns the revocation lists of the organisation: those in its folder, and the channel's.
func (f *Folder) lists(channel *Channel) []*x509.RevocationList {
	var raw [][]byte
	if own, err := os.ReadFile(f.listPath()); err == nil || !errors.Is(err, fs.ErrNotExist) {
		raw = append(raw, own)
	}
	if channel != nil {
		for _, m := range channel.Members {
			raw = append(raw, m.Lists...)
		}
	}
	return parseLists(raw)
}

// listPath is where the organisation keeps its revocation lists; its descriptor takes them from there.
func (f *Folder) listPath() string { return f.at("msp", "crls", "crl.pem") }
