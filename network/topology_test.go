package network

import (
	"strings"
	"testing"
)

func TestDefaultTopology(t *testing.T) {
	d := Default()
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := (Topology{}).withDefaults(); len(got.Orgs) != 4 || got.PortBase != DefaultPortBase {
		t.Errorf("defaults of an empty topology: %+v", got)
	}
}

func TestPortsAreDisjoint(t *testing.T) {
	d := Default()
	user := map[int]string{}
	for i, o := range d.Orgs {
		p := d.Ports(i)
		for name, port := range map[string]int{
			"peer": p.Peer, "peer ops": p.PeerOps, "peer chaincode": p.PeerChaincode, "orderer": p.Orderer,
			"orderer admin": p.OrdererAdmin, "orderer ops": p.OrdererOps, "chaincode": p.Chaincode,
			"gateway API": p.GatewayAPI, "gateway metrics": p.GatewayMetrics, "gateway intake": p.GatewayIntake,
		} {
			if other, taken := user[port]; taken {
				t.Errorf("port %d is given to %s and to %s %s", port, other, o.Name, name)
			}
			user[port] = o.Name + " " + name
			if low := d.PortBase + i*portsPerOrg; port < low || port >= low+portsPerOrg {
				t.Errorf("%s %s: port %d lies outside the organisation's block", o.Name, name, port)
			}
		}
	}
}

func TestValidateSaysEverything(t *testing.T) {
	bad := Topology{
		Channel: "Way Bill", Chaincode: "x'", PortBase: 65530,
		Orgs: []Org{{Name: "a/b", MSPID: "A"}, {Name: "c", MSPID: "C')"}, {Name: "c", MSPID: "D"}},
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`"Way Bill"`, `"x'"`, "65530", `"a/b"`, `"C')"`, "c (D) is named twice"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %s in: %v", want, err)
		}
	}
}
