package e2e

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/test/lab"
)

// latecomer is a network, and an organisation that is not in it yet: a folder of its own, of which the others
// get a descriptor and nothing else.
type latecomer struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // of the test that made it
	lab    *lab.Lab
	folder *org.Folder
	file   string // its descriptor
}

// A fifth organisation is voted into the channel, reads the whole history, endorses, and its orderer becomes a
// consenter without which no block would be decided; then it is voted out again. The others never see a key of it.
func TestAFifthOrganisationComesAndGoes(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l := &latecomer{t: t, ctx: ctx, lab: lab.For(ctx, t)}
	l.make()
	before := l.height("vendor")

	l.agree("org-add", l.file, "vendor", "security", "platform")
	genesis, err := os.ReadFile(l.lab.Clients.Genesis)
	l.check(err)
	l.check(l.folder.Join(ctx, genesis))
	l.check(l.folder.Approve(ctx))
	l.check(l.folder.Ready(ctx))
	l.own("member", "join", "retail")
	l.check(lab.Poll(ctx, time.Minute, func() error {
		if got, want := l.height("retail"), l.height("vendor"); got != want || got <= before {
			return fmt.Errorf("retail has %d blocks, vendor %d", got, want)
		}
		return nil
	}))
	if out := l.own("channel", "config"); !strings.Contains(out, "3 of AuditMSP.peer, PlatformMSP.peer, RetailMSP.peer, SecurityMSP.peer, VendorMSP.peer") {
		t.Errorf("the endorsement does not follow the membership:\n%s", out)
	}

	out := l.agree("orderer-add", l.file, "vendor", "security", "platform")
	for _, want := range []string{"4 consenters become 5", "4 must sign a block (before: 3)", "1 may lie or be gone (before: 1)"} {
		if !strings.Contains(out, want) {
			t.Errorf("the vote does not say %q:\n%s", want, out)
		}
	}
	l.revoke("auditor")
	l.announces("10.0.0.1:7050", "10.0.0.1:7051", "10.0.0.1:7052", "10.0.0.1:7053", "10.0.0.1:7054")

	// Four of five must sign: with one down, the newcomer's signature is among them.
	l.check(l.lab.Net.Kill(ctx, "audit-orderer", syscall.SIGKILL))
	l.check(lab.Poll(ctx, time.Minute, func() error { return l.act("vendor") }))
	if out, code := l.lab.Waybill(ctx, "channel", "propose", "orderer-remove", "PlatformMSP", "--as", "vendor/admin"); code == 0 || !strings.Contains(out, "consenters are down") {
		t.Errorf("a consenter is changed while another is down: %d\n%s", code, out)
	}
	l.check(l.lab.Net.StartNode(ctx, "audit-orderer"))
	l.check(lab.Poll(ctx, time.Minute, func() error { return l.act("audit") }))

	out = l.agree("org-remove", "RetailMSP", "security", "platform", "audit")
	if !strings.Contains(out, "RetailMSP's quarantines hold nothing any more") || !strings.Contains(out, "5 consenters become 4") {
		t.Errorf("the vote does not say what becomes of it:\n%s", out)
	}
	stood := l.height("retail")
	l.check(lab.Poll(ctx, time.Minute, func() error { return l.act("platform") }))
	if out, code := l.as(l.folder.Dir(), "retail/admin", "member", "grant", "somebody", "auditor"); code == 0 {
		t.Errorf("a removed organisation acts:\n%s", out)
	}
	if now := l.height("retail"); now > stood+1 {
		t.Errorf("a removed organisation reads on: %d blocks, then %d", stood, now)
	}
}

func (l *latecomer) check(err error) {
	l.t.Helper()
	if err != nil {
		for _, node := range []string{"retail-orderer", "retail-peer"} {
			if l.folder == nil {
				break // it was not even made
			}
			if raw, readErr := os.ReadFile(l.folder.LogPath(node)); readErr == nil {
				l.t.Logf("%s:\n%s", node, raw[max(0, len(raw)-3000):])
			}
		}
		l.t.Fatal(err)
	}
}

func (l *latecomer) make() {
	l.t.Helper()
	vendor, err := l.lab.Net.Org("vendor")
	l.check(err)
	spec := vendor.Spec()
	spec.Name, spec.MSPID = "retail", "RetailMSP"
	base, err := network.FreePortBase(1, 10000)
	l.check(err)
	free := func() string {
		base++
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(base-1))
	}
	spec.Announce = org.Announce{Peer: free(), Orderer: free(), Gateway: free()}
	spec.Listen = org.Listen{
		Peer: spec.Announce.Peer, PeerOperations: free(), PeerChaincode: free(),
		Orderer: spec.Announce.Orderer, OrdererAdmin: free(), OrdererOperations: free(),
		Chaincode: free(), Gateway: spec.Announce.Gateway, GatewayMetrics: free(), Hooks: free(),
	}
	l.folder, err = org.Create(l.ctx, filepath.Join(l.lab.Dir, "retail"), spec, org.Options{})
	l.check(err)
	l.t.Cleanup(func() {
		if err := l.folder.Stop(context.WithoutCancel(l.ctx)); err != nil {
			l.t.Error(err)
		}
	})
	file, err := l.folder.Export()
	l.check(err)
	l.file = filepath.Join(l.lab.Dir, "retail.json")
	l.check(os.WriteFile(l.file, file, 0o600))
}

// revoke ends a person of the latecomer by its own signature alone, and tells that nobody takes the person any more.
func (l *latecomer) revoke(name string) {
	l.t.Helper()
	own := func(file string) string { return filepath.Join(l.folder.Dir(), file) }
	read := func(cert, key string) tls.Certificate {
		pair, err := tls.LoadX509KeyPair(own(cert), own(key))
		l.check(err)
		return pair
	}
	authority, person, admin := read("ca/ca.crt", "ca/ca.key"), read("people/"+name+"/cert.pem", "people/"+name+"/key.pem"), read("people/admin/cert.pem", "people/admin/key.pem")
	config := []string{"channel", "config"}
	if out, code := l.as(l.folder.Dir(), "retail/"+name, config...); code != 0 {
		l.t.Fatalf("before: %d\n%s", code, out)
	}
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: person.Leaf.SerialNumber, RevocationTime: time.Now()}},
	}, authority.Leaf, authority.PrivateKey.(crypto.Signer))
	l.check(err)
	d, err := l.folder.Descriptor()
	l.check(err)
	d.RevocationLists = []string{string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list}))}
	file, err := channel.Sign(d, admin.Leaf, admin.PrivateKey.(crypto.Signer))
	l.check(err)
	l.check(os.WriteFile(l.file, file, 0o600))
	id := l.proposed("retail", "org-update", l.file)
	if out := l.own("channel", "submit", id); !strings.Contains(out, "in force with block") {
		l.t.Errorf("one's own revocation waits for others:\n%s", out)
	}
	if out, code := l.as(l.folder.Dir(), "retail/"+name, config...); code == 0 {
		l.t.Errorf("a revoked person is answered:\n%s", out)
	}
}

// as runs the client with an organisation's folder.
func (l *latecomer) as(dir, who string, args ...string) (string, int) {
	return l.lab.Waybill(l.ctx, append(args, "--dir", dir, "--as", who)...)
}

// own runs the client for the latecomer's admin.
func (l *latecomer) own(args ...string) string {
	l.t.Helper()
	out, code := l.as(l.folder.Dir(), "retail/admin", args...)
	if code != 0 {
		l.t.Fatalf("waybill %v: %d\n%s", args, code, out)
	}
	return out
}

func (l *latecomer) dir(name string) string {
	if name == "retail" {
		return l.folder.Dir()
	}
	return l.lab.Net.Dir()
}

// act writes something that nobody needs.
func (l *latecomer) act(name string) error {
	out, code := l.as(l.dir(name), name+"/admin", "context", "set", "moment", strconv.FormatInt(time.Now().UnixMilli(), 10), "--timeout", "15s")
	if code != 0 {
		return fmt.Errorf("%s cannot act: %d\n%s", name, code, out)
	}
	return nil
}

func (l *latecomer) height(name string) uint64 {
	l.t.Helper()
	f := l.folder
	if name != "retail" {
		var err error
		f, err = l.lab.Net.Org(name)
		l.check(err)
	}
	report, err := f.Status(l.ctx)
	l.check(err)
	for _, s := range report {
		if s.Kind == org.KindPeer {
			return s.Height
		}
	}
	return 0
}

// agree proposes a change as the first organisation, has the others look at it and sign, and submits it. It
// returns what the last of them was shown.
func (l *latecomer) agree(kind, about string, orgs ...string) (shown string) {
	l.t.Helper()
	id := l.proposed(orgs[0], kind, about)
	var out string
	var code int
	if out, code := l.as(l.dir(orgs[0]), orgs[0]+"/admin", "channel", "submit", id); code == 0 || !strings.Contains(out, "not signed by enough") && !strings.Contains(out, "the members have not decided it: 1 of ") {
		l.t.Errorf("one signature is enough for %s: %d\n%s", kind, code, out)
	}
	for _, name := range orgs[1:] {
		l.check(lab.Poll(l.ctx, 30*time.Second, func() error {
			if shown, code = l.as(l.dir(name), name+"/admin", "channel", "vote", id); code != 0 {
				return fmt.Errorf("%s votes: %d\n%s", name, code, shown)
			}
			return nil
		}))
	}
	last := orgs[len(orgs)-1]
	out, code = l.as(l.dir(last), last+"/admin", "channel", "submit", id)
	if code != 0 || !strings.Contains(out, "in force with block") {
		l.t.Fatalf("submit %s: %d\n%s", kind, code, out)
	}
	if out, code := l.as(l.dir(last), last+"/admin", "channel", "show", id); code != 0 || !strings.Contains(out, "what it changes is in force") {
		l.t.Errorf("show %s: %d\n%s", kind, code, out)
	}
	return shown
}

// proposed puts a change to the vote and returns its id.
func (l *latecomer) proposed(by, kind, about string) string {
	l.t.Helper()
	out, code := l.as(l.dir(by), by+"/admin", "channel", "propose", kind, about, "-o", "json")
	if code != 0 {
		l.t.Fatalf("propose %s: %d\n%s", kind, code, out)
	}
	var made struct {
		Result struct {
			Proposal struct {
				ID string `json:"id"`
			} `json:"proposal"`
		} `json:"result"`
	}
	// Notices come before it.
	if err := json.Unmarshal([]byte(out[strings.Index(out, "\n{\n")+1:]), &made); err != nil {
		l.t.Fatalf("%v:\n%s", err, out)
	}
	return made.Result.Proposal.ID
}
