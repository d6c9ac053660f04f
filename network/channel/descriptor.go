package channel

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Version is the version of descriptors that this program writes and reads.
const Version = 1

// Descriptor is what an organisation tells the others about itself. All of it is public. As a file it is
// signed: see Sign and Open. Certificates are PEM, one in each string.
type Descriptor struct {
	Version          int      `json:"version"`
	Name             string   `json:"name"` // e.g. "vendor"
	MSPID            string   `json:"mspid"`
	Roots            []string `json:"roots"`                   // who may enrol people and nodes
	Intermediates    []string `json:"intermediates,omitempty"` // each below one of Roots
	TLSRoots         []string `json:"tlsRoots"`                // who may vouch for its servers
	TLSIntermediates []string `json:"tlsIntermediates,omitempty"`
	RevocationLists  []string `json:"revocationLists,omitempty"` // of its enrolment authorities
	Peer             Endpoint `json:"peer"`                      // the anchor peer, through which other peers find its own
	Orderer          *Orderer `json:"orderer,omitempty"`         // nil: the organisation runs none
	Gateway          string   `json:"gateway,omitempty"`         // https://host:port, for people
}

// Endpoint is where a node is reached from other hosts. Host is a name or an IPv4 address: Fabric joins
// it to the port with a bare colon, which an IPv6 address does not bear.
type Endpoint struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// String returns host:port.
func (e Endpoint) String() string { return net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) }

// Orderer is an organisation's consenter. The other consenters know it by exactly these certificates.
type Orderer struct {
	Host      string `json:"host"`
	Port      int    `json:"port"`
	Identity  string `json:"identity"`  // signs its votes
	ClientTLS string `json:"clientTLS"` // it dials with
	ServerTLS string `json:"serverTLS"` // it is dialled at
}

// Endpoint returns where it is reached.
func (o *Orderer) Endpoint() Endpoint { return Endpoint{o.Host, o.Port} }

// payload is the one way in which a descriptor is written. A file that says the same in other bytes is refused.
func (d Descriptor) payload() ([]byte, error) {
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode descriptor of %s: %w", d.Name, err)
	}
	return raw, nil
}

// Fingerprint is the SHA-256 of what is signed, in groups of four digits: what people compare by another
// way than the one the file came. It changes with every field and not with the signature.
func (d Descriptor) Fingerprint() string {
	raw, err := d.payload()
	if err != nil {
		return "" // strings and numbers always encode
	}
	sum := sha256.Sum256(raw)
	return InGroups(hex.EncodeToString(sum[:]))
}

// InGroups writes the digits of a hash so that two people can read them to each other.
func InGroups(digits string) string {
	const size = 4
	var out []string
	for ; len(digits) > size; digits = digits[size:] {
		out = append(out, digits[:size])
	}
	return strings.Join(append(out, digits), " ")
}
