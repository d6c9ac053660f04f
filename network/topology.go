package network

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/waybill-dev/waybill/network/org"
)

// DefaultPortBase is the first port of the first organisation unless the topology says otherwise.
const DefaultPortBase = 7050

// portsPerOrg is the size of one organisation's block of ports.
const portsPerOrg = 10

// Host is the only address anything here listens on: the keys lie on this machine's disk, so the
// network is not to be reached from another one.
const Host = "127.0.0.1"

// Topology is what a network consists of. The zero value of each field means its default.
type Topology struct {
	Channel   string `json:"channel"`   // default "waybill"
	Chaincode string `json:"chaincode"` // default "waybill"
	PortBase  int    `json:"portBase"`  // default DefaultPortBase; organisation i has base+10i to base+10i+9
	Orgs      []Org  `json:"orgs"`      // default vendor, security, platform, audit
}

// Org is one organisation: one peer, one orderer and one chaincode process.
type Org struct {
	Name  string `json:"name"`
	MSPID string `json:"mspid"`
}

// Ports are one organisation's ports, allocated from the topology's base.
type Ports struct {
	Peer           int
	PeerOps        int
	PeerChaincode  int // where a peer would listen for chaincode that dials it; ours is dialled instead
	Orderer        int
	OrdererAdmin   int
	OrdererOps     int
	Chaincode      int
	GatewayAPI     int
	GatewayMetrics int
	GatewayIntake  int
}

// Default returns four equal organisations. Four is the smallest number of orderers that keeps
// deciding with one of them gone or lying.
func Default() Topology {
	return Topology{
		Channel:   "waybill",
		Chaincode: "waybill",
		PortBase:  DefaultPortBase,
		Orgs: []Org{
			{Name: "vendor", MSPID: "VendorMSP"},
			{Name: "security", MSPID: "SecurityMSP"},
			{Name: "platform", MSPID: "PlatformMSP"},
			{Name: "audit", MSPID: "AuditMSP"},
		},
	}
}

func (t Topology) withDefaults() Topology {
	d := Default()
	if t.Channel == "" {
		t.Channel = d.Channel
	}
	if t.Chaincode == "" {
		t.Chaincode = d.Chaincode
	}
	if t.PortBase == 0 {
		t.PortBase = d.PortBase
	}
	if len(t.Orgs) == 0 {
		t.Orgs = d.Orgs
	}
	return t
}

// Validate says everything that is wrong with the topology.
func (t Topology) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	errs = append(errs, org.CheckChannel("channel", t.Channel), org.CheckChannel("chaincode", t.Chaincode))
	if len(t.Orgs) == 0 {
		bad("no organisations")
	}
	if last := t.PortBase + portsPerOrg*len(t.Orgs) - 1; t.PortBase < 1024 || last > 65535 {
		bad("port base %d: the ports %d to %d are not all between 1024 and 65535", t.PortBase, t.PortBase, last)
	}
	names, msps := map[string]bool{}, map[string]bool{}
	for _, o := range t.Orgs {
		errs = append(errs, org.CheckName(o.Name), org.CheckMSPID(o.MSPID))
		if names[o.Name] || msps[o.MSPID] {
			bad("organisation %s (%s) is named twice", o.Name, o.MSPID)
		}
		names[o.Name], msps[o.MSPID] = true, true
	}
	return errors.Join(errs...)
}

// Ports returns the ports of the i-th organisation.
func (t Topology) Ports(i int) Ports {
	b := t.PortBase + portsPerOrg*i
	return Ports{
		Peer: b, PeerOps: b + 1, PeerChaincode: b + 8,
		Orderer: b + 2, OrdererAdmin: b + 3, OrdererOps: b + 4,
		Chaincode:  b + 5,
		GatewayAPI: b + 6, GatewayMetrics: b + 7, GatewayIntake: b + 9,
	}
}

// spec is what the i-th organisation's folder is made from.
func (t Topology) spec(i int, s state) org.Spec {
	p, o := t.Ports(i), t.Orgs[i]
	return org.Spec{
		Name: o.Name, MSPID: o.MSPID, Channel: t.Channel, Chaincode: t.Chaincode,
		Announce: org.Announce{Peer: address(p.Peer), Orderer: address(p.Orderer), Gateway: address(p.GatewayAPI)},
		Listen: org.Listen{
			Peer: address(p.Peer), PeerOperations: address(p.PeerOps), PeerChaincode: address(p.PeerChaincode),
			Orderer: address(p.Orderer), OrdererAdmin: address(p.OrdererAdmin), OrdererOperations: address(p.OrdererOps),
			Chaincode: address(p.Chaincode),
			Gateway:   address(p.GatewayAPI), GatewayMetrics: address(p.GatewayMetrics), Hooks: address(p.GatewayIntake),
		},
		Programs: org.Programs{Peer: s.Tools.Peer, Orderer: s.Tools.Orderer},
		Contract: org.Contract{PackageID: s.PackageID, Program: s.ChaincodeBinary},
	}
}

func address(port int) string { return net.JoinHostPort(Host, strconv.Itoa(port)) }
