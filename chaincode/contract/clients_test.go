package contract

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func pulled(n byte, actor string) provenance.Event {
	e := push("", "v1")
	e.ID, e.Action, e.Actor, e.MediaType, e.Size = provenance.EventID{n}, provenance.Pull, actor, "", 0
	e.Address, e.UserAgent, e.Blind = "10.2.3.4", "containerd/2", provenance.Unblinded()
	return e
}

func inTransient(t *testing.T, c provenance.Clients) map[string][]byte {
	t.Helper()
	b, err := provenance.EncodeClients(c)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"clients": b}
}

func TestClients(t *testing.T) {
	l := network(t)
	public, hidden := provenance.Blinded([]provenance.Event{push("1.0", "v1"), pulled(1, "ci"), pulled(2, "eve")}, provenance.Salt{1})
	if _, _, err := l.segment("gateway@VendorMSP", host, 7, public...); err != nil {
		t.Fatal(err)
	}
	keep := func(who string, c provenance.Clients, seq string) (string, map[string][]byte, error) {
		return l.invoke(who, inTransient(t, c), "record:Clients", host, "lane-0", seq)
	}
	for name, tt := range map[string]struct {
		who     string
		clients provenance.Clients
		seq     string
		want    provenance.Code
	}{
		"not the owner":     {"gateway@AuditMSP", hidden, "7", provenance.Forbidden},
		"no such segment":   {"gateway@VendorMSP", hidden, "8", provenance.NotFound},
		"no number":         {"gateway@VendorMSP", hidden, "x", provenance.Invalid},
		"another client":    {"gateway@VendorMSP", provenance.Clients{Salt: hidden.Salt, Of: []provenance.Client{hidden.Of[0], {Actor: "bob"}}}, "7", provenance.Invalid},
		"one client":        {"gateway@VendorMSP", provenance.Clients{Salt: hidden.Salt, Of: hidden.Of[:1]}, "7", provenance.Invalid},
		"another salt":      {"gateway@VendorMSP", provenance.Clients{Of: hidden.Of}, "7", provenance.Invalid},
		"not its gateway's": {"auditor@VendorMSP", hidden, "7", provenance.Forbidden},
	} {
		if _, _, err := keep(tt.who, tt.clients, tt.seq); provenance.CodeOf(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	before := maps.Clone(l.state)
	for i, want := range []string{`{"events":2,"known":false}`, `{"events":2,"known":true}`} {
		out, writes, err := keep("gateway@VendorMSP", hidden, "7")
		if err != nil || out != want || len(writes) != 0 {
			t.Errorf("time %d: %s, %d public writes, %v", i+1, out, len(writes), err)
		}
	}
	if diff := cmp.Diff(before, l.state); diff != "" || len(l.private) != 1 {
		t.Errorf("%d private keys, and the state that all share:\n%s", len(l.private), diff)
	}
	place := [2]string{"_implicit_org_VendorMSP", state.ClientsKey(host, "lane-0", 7)}
	kept := l.private[place]
	l.private[place] = append(kept[:len(kept):len(kept)], 0) // nobody but a broken peer
	if _, _, err := keep("gateway@VendorMSP", hidden, "7"); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("others are kept already: %v", err)
	}
	l.private[place] = kept
	l.read(hidden)
	l.do("admin@VendorMSP", "record:PurgeClients", host, "lane-0", "7")
	if l.private[place] != nil {
		t.Error("purged, and still there")
	}
	// A gateway that crashed before it noted that they are kept brings them again.
	if out, _, err := keep("gateway@VendorMSP", hidden, "7"); err != nil || out != `{"events":2,"known":true}` || l.private[place] != nil {
		t.Errorf("purged, and kept again: %s, %v", out, err)
	}
	l.refused(provenance.NotFound, "gateway@VendorMSP", "record:ReadClients", host, "lane-0", "7")
	if out := l.do("admin@VendorMSP", "record:PurgeClients", host, "lane-0", "7"); out != `{"events":0,"known":true}` {
		t.Errorf("purged twice: %s", out)
	}
}

// read reads on the owner's peer, and tries on another and as another.
func (l *ledger) read(hidden provenance.Clients) {
	l.t.Helper()
	args := []string{"record:ReadClients", host, "lane-0", "7"}
	l.peer = "AuditMSP"
	l.refused(provenance.Internal, "gateway@VendorMSP", args...)
	l.peer = "VendorMSP"
	l.refused(provenance.Forbidden, "gateway@AuditMSP", args...)
	l.refused(provenance.Forbidden, "admin@AuditMSP", "record:PurgeClients", host, "lane-0", "7")
	l.refused(provenance.Forbidden, "auditor@VendorMSP", args...)
	var got KeptClients
	if err := json.Unmarshal([]byte(l.do("gateway@VendorMSP", args...)), &got); err != nil {
		l.t.Fatal(err)
	}
	back, err := provenance.DecodeClients(got.Clients)
	if diff := cmp.Diff(hidden, back); diff != "" || err != nil {
		l.t.Errorf("read (-want +got):\n%s%v", diff, err)
	}
}

// A gateway that forgets to hide is refused by every peer.
func TestSegmentOfExposedClients(t *testing.T) {
	l := network(t)
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, pulled(1, "ci")); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("a client that was to be hidden: %v", err)
	}
}
