package org

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"regexp"
	"strconv"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Spec is org.json: what an organisation was told to be. It holds no secret.
type Spec struct {
	Version   int      `json:"version"` // SpecVersion
	Name      string   `json:"name"`    // vendor
	MSPID     string   `json:"mspid"`   // VendorMSP
	Channel   string   `json:"channel"`
	Chaincode string   `json:"chaincode"`
	Announce  Announce `json:"announce"`
	Listen    Listen   `json:"listen"`
	Programs  Programs `json:"programs"`
	// ExternalCA says that the organisation's own PKI signs: ca/ then holds no key.
	ExternalCA bool `json:"externalCA,omitempty"`
	// Contract is what the organisation's chaincode processes run.
	Contract Contract `json:"contract"`
	// After is the channel that Channel goes on from; its ledger stays on the peer.
	After *provenance.Predecessor `json:"after,omitempty"`
	// Next is the version that is being upgraded to; its process runs beside the other.
	Next *Contract `json:"next,omitempty"`
	// Elsewhere says that somebody else runs the nodes, in containers for one: none is a process of this folder.
	Elsewhere bool `json:"nodesElsewhere,omitempty"`
}

// SpecVersion is the layout of org.json that this package writes and reads.
const SpecVersion = 1

// Announce is where others reach the organisation, each as host:port.
type Announce struct {
	Peer    string `json:"peer"`
	Orderer string `json:"orderer"`
	Gateway string `json:"gateway"`
}

// Listen is where the nodes listen, each as host:port. What is not announced is for this host:
// operations and metrics are plain HTTP without a secret in it, the others want a certificate.
type Listen struct {
	Peer              string `json:"peer"`
	PeerOperations    string `json:"peerOperations"`
	PeerChaincode     string `json:"peerChaincode"` // where a peer would listen for chaincode that dials it; ours is dialled instead
	Orderer           string `json:"orderer"`
	OrdererAdmin      string `json:"ordererAdmin"`
	OrdererOperations string `json:"ordererOperations"`
	Chaincode         string `json:"chaincode"`
	Gateway           string `json:"gateway"`
	GatewayMetrics    string `json:"gatewayMetrics"`
	Hooks             string `json:"hooks"` // where registries send notifications
}

// Programs run the nodes. Gateway may be empty: then the gateway is somebody else's to start.
type Programs struct {
	Peer    string `json:"peer"`
	Orderer string `json:"orderer"`
	Gateway string `json:"gateway,omitempty"`
}

// Contract is one version of the chaincode as a process runs it.
type Contract struct {
	Version   string `json:"version"`
	PackageID string `json:"packageID"`
	Program   string `json:"program"`
	Listen    string `json:"listen,omitempty"` // default: Listen.Chaincode
}

// Names become file names and Fabric identifiers, and are pasted into YAML and policy rules.
var (
	orgName     = regexp.MustCompile(`^[a-z][a-z0-9]{0,30}$`)
	mspName     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,60}$`)
	chainName   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,60}$`)
	hostName    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)
	versionName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,30}$`)
)

// CheckName says what is wrong with an organisation's name.
func CheckName(name string) error { return match("organisation name", name, orgName) }

// CheckMSPID says what is wrong with an MSP id.
func CheckMSPID(id string) error { return match("MSP id", id, mspName) }

// CheckChannel says what is wrong with the name of a channel or a chaincode.
func CheckChannel(what, name string) error { return match(what+" name", name, chainName) }

func match(what, have string, want *regexp.Regexp) error {
	if !want.MatchString(have) {
		return fmt.Errorf("%s %q: want %s", what, have, want)
	}
	return nil
}

// checkAddress wants host:port with an address or a name that needs no quoting anywhere.
func checkAddress(what, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s %q: want host:port", what, address)
	}
	if net.ParseIP(host) == nil && (len(host) > 253 || !hostName.MatchString(host)) {
		return fmt.Errorf("%s %q: %q is neither an address nor a name of a host", what, address, host)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return fmt.Errorf("%s %q: want a port from 1 to 65535", what, address)
	}
	return nil
}

// Validate says everything that is wrong with the spec.
func (s Spec) Validate() error {
	errs := []error{CheckName(s.Name), CheckMSPID(s.MSPID), CheckChannel("channel", s.Channel), CheckChannel("chaincode", s.Chaincode)}
	if s.Version != SpecVersion {
		errs = append(errs, fmt.Errorf("version %d of org.json: this program knows %d", s.Version, SpecVersion))
	}
	for what, address := range map[string]string{"peer": s.Announce.Peer, "orderer": s.Announce.Orderer, "gateway": s.Announce.Gateway} {
		errs = append(errs, checkAddress("address of the "+what, address))
		if host, _, err := net.SplitHostPort(address); err == nil && unspecified(host) {
			errs = append(errs, fmt.Errorf("address of the %s %q: nobody can dial that", what, address))
		}
	}
	all := s.Listen.all()
	for i, l := range all {
		errs = append(errs, checkAddress("listener "+l.name, l.address))
		for _, other := range all[:i] {
			if clash(l.address, other.address) {
				errs = append(errs, fmt.Errorf("%s (%s) and %s (%s) listen on one port: say where one of them does, with --listen %s=HOST:PORT", other.name, other.address, l.name, l.address, l.name))
			}
		}
	}
	for _, c := range []*Contract{&s.Contract, s.Next} {
		if c != nil {
			errs = append(errs, match("chaincode version", c.Version, versionName))
		}
	}
	return errors.Join(errs...)
}

// clash says whether nobody can listen on both addresses: one port, on the same host or on all of them.
func clash(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	return errA == nil && errB == nil && portA == portB && (hostA == hostB || unspecified(hostA) || unspecified(hostB))
}

func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}

type listener struct{ name, address string }

// all names each listener as --listen does.
func (l Listen) all() []listener {
	return []listener{
		{"peer", l.Peer}, {"peer-operations", l.PeerOperations}, {"peer-chaincode", l.PeerChaincode},
		{"orderer", l.Orderer}, {"orderer-admin", l.OrdererAdmin}, {"orderer-operations", l.OrdererOperations},
		{"chaincode", l.Chaincode}, {"gateway", l.Gateway}, {"gateway-metrics", l.GatewayMetrics}, {"hooks", l.Hooks},
	}
}

// readSpec reads org.json; it is ErrNoFolder if there is none.
func readSpec(file string) (Spec, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Spec{}, ErrNoFolder
	}
	if err != nil {
		return Spec{}, err
	}
	var s Spec
	if err := json.Unmarshal(raw, &s); err != nil {
		return Spec{}, fmt.Errorf("read %s: %w", file, err)
	}
	if err := s.Validate(); err != nil {
		return Spec{}, fmt.Errorf("read %s: %w", file, err)
	}
	return s, nil
}
