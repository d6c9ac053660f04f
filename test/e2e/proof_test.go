package e2e

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/proof"
	"github.com/waybill-dev/waybill/test/lab"
)

// TestProofs makes files of every kind on a real network, and checks them with the
// pinned hash alone. UPDATE_GOLDEN=1 keeps them, for the tests of package proof.
func TestProofs(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	p := &prover{consortium: newConsortium(ctx, t, l), made: map[string][]byte{}}
	p.own(bypassHost)
	text := fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"proofs"},"spec":{"match":["%s/**"],"stages":[
	  {"name":"production","approvals":{"min":2,"orgs":["SecurityMSP"]},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP"}],"condition":"facts.critical == 0"}]}]}}`, bypassHost)
	for _, who := range []string{"vendor/admin", "security/admin", "audit/admin"} {
		p.propose(who, "policy", text)
	}
	p.push(1, "proven", "held", "waiting")
	released, held := imageOf("proven"), imageOf("held")
	if err := p.submit("security/scanner", released, "vuln-scan", "plain", "", "", fmt.Sprintf(cleanScan, 1)); err != nil {
		t.Fatal(err)
	}
	p.act("platform/release-manager", "promotion:Request", bypassHost, bypassRepo, released.String(), "production")
	seen := p.verdict(released)
	for _, who := range []string{"security/release-manager", "audit/release-manager"} {
		p.act(who, "promotion:Approve", approval([]string{bypassHost, bypassRepo, released.String(), "production"}, seen, "")...)
	}
	p.act("security/scanner", "quarantine:Set", held.String(), "a finding")
	p.reconfigure()
	p.settle()
	p.read()

	p.receipt("receipt", released, proof.Options{Image: bypassHost + "/" + bypassRepo, Stage: "production"}, "allowed", 0)
	p.receipt("receipt-held", held, proof.Options{}, "quarantined", 13)
	p.receipt("receipt-pending", imageOf("waiting"), proof.Options{}, "pending", 12)
	p.receipt("receipt-unknown", imageOf("nowhere"), proof.Options{}, "unknown", 10)
	p.transaction("transaction-push", "record:Segment")
	p.transaction("transaction-approval", "promotion:Approve")
	p.transaction("transaction-hold", "quarantine:Set")
	config, err := proof.NewConfig(l.Clients.Channel, p.config)
	p.check(err)
	p.verify("config", config, proof.Options{}, 0)
	if t.Failed() || os.Getenv("UPDATE_GOLDEN") == "" {
		return
	}
	p.keep()
}

// prover is a network of which proofs are made.
type prover struct {
	*consortium
	genesis []byte
	blocks  [][]byte // raw, as a peer has them
	config  [][]byte
	made    map[string][]byte
}

func (p *prover) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// reconfigure changes the channel, so that the configuration is a chain of two.
func (p *prover) reconfigure() {
	p.t.Helper()
	run := func(args ...string) string {
		var out string
		p.check(lab.Poll(p.ctx, 30*time.Second, func() (err error) {
			var code int
			if out, code = p.lab.Waybill(p.ctx, args...); code != 0 {
				err = fmt.Errorf("waybill %v: %d\n%s", args, code, out)
			}
			return err
		}))
		return out
	}
	var made struct {
		Result struct {
			Proposal struct {
				ID string `json:"id"`
			} `json:"proposal"`
		} `json:"result"`
	}
	out := run("channel", "propose", "batch", "--messages", "700", "--as", "vendor/admin", "-o", "json")
	p.check(json.Unmarshal([]byte(out[strings.Index(out, "\n{\n")+1:]), &made)) // notices come before it
	id := made.Result.Proposal.ID
	for _, who := range []string{"security/admin", "platform/admin"} {
		run("channel", "vote", id, "--as", who)
	}
	run("channel", "submit", id, "--as", "platform/admin")
}

// read reads the whole chain of a peer.
func (p *prover) read() {
	p.t.Helper()
	height, err := p.as("vendor/auditor").Height(p.ctx)
	p.check(err)
	p.check(p.lab.Blocks(p.ctx, "vendor", 0, func(b *common.Block) (bool, error) {
		raw, err := proto.Marshal(b)
		p.blocks = append(p.blocks, raw)
		if _, _, no := channel.ConfigOf(b); no == nil {
			p.config = append(p.config, raw)
		}
		return b.GetHeader().GetNumber()+1 >= height, err
	}))
	genesis, err := proof.HeaderHash(p.blocks[0])
	p.check(err)
	p.genesis = genesis
	if len(p.config) != 2 {
		p.t.Fatalf("%d configuration blocks: want 2", len(p.config))
	}
}

// floor is the newest block without its data.
func (p *prover) floor() []byte { return p.blocks[len(p.blocks)-1] }

var threeOrgs = []string{"VendorMSP", "SecurityMSP", "AuditMSP"}

func (p *prover) receipt(name string, d provenance.Digest, o proof.Options, verdict string, code int) {
	p.t.Helper()
	payload, err := p.lab.Endorse(p.ctx, "platform", "gateway", "waybill", threeOrgs, "verdict:Ask", bypassHost, bypassRepo, d.String(), "production")
	p.check(err)
	f, err := proof.NewReceipt(p.lab.Clients.Channel, p.config, p.floor(), payload)
	p.check(err)
	if r := p.verify(name, f, o, code); r.Verdict == nil || r.Verdict.Verdict != verdict {
		p.t.Errorf("%s: %+v, want %s", name, r.Verdict, verdict)
	}
}

// transaction proves the last one that called a function.
func (p *prover) transaction(name, function string) {
	p.t.Helper()
	for i := len(p.blocks) - 1; i >= 0; i-- {
		ids, err := proof.TransactionIDs(p.blocks[i], function)
		p.check(err)
		if len(ids) == 0 {
			continue
		}
		status, err := p.lab.Endorse(p.ctx, "platform", "gateway", "qscc", threeOrgs, "GetTransactionByID", p.lab.Clients.Channel, ids[0])
		p.check(err)
		f, err := proof.NewTransaction(p.lab.Clients.Channel, p.config, p.floor(), p.blocks[i], ids[0], status)
		p.check(err)
		if r := p.verify(name, f, proof.Options{}, 0); r.Transaction == nil || r.Transaction.Function != function {
			p.t.Errorf("%s: %+v", name, r.Transaction)
		}
		return
	}
	p.t.Errorf("no transaction calls %s", function)
}

// verify checks a file, with its configuration in it and beside it.
func (p *prover) verify(name string, f proof.File, o proof.Options, code int) proof.Report {
	p.t.Helper()
	o.Genesis, o.At = p.genesis, time.Now()
	began := time.Now()
	r := proof.Verify(f.Marshal(), o)
	p.t.Logf("%s: %d bytes, checked in %s, exit %d\n%s", name, len(f.Marshal()), time.Since(began), r.Exit(), r.JSON())
	if r.Result != proof.Valid || r.Exit() != code {
		p.t.Errorf("%s: %s, exit %d: want %d", name, r.Result, r.Exit(), code)
	}
	if f.Kind != proof.KindConfig {
		config, err := proof.NewConfig(f.Channel, p.config)
		p.check(err)
		f.Config = nil
		if got := proof.Verify(f.Marshal(), o); got.Exit() != 16 {
			p.t.Errorf("%s without its configuration: exit %d, want 16", name, got.Exit())
		}
		o.Config = config.Marshal()
		if got := proof.Verify(f.Marshal(), o); got.Exit() != code {
			p.t.Errorf("%s with the configuration beside it: %s", name, got.JSON())
		}
	}
	p.made[name+".json"] = f.Marshal()
	return r
}

// keep writes what was made as the fixtures of package proof.
func (p *prover) keep() {
	p.t.Helper()
	dir := filepath.Join("..", "..", "proof", "testdata", "network")
	p.check(os.MkdirAll(dir, 0o750))
	p.made["genesis"] = []byte(hex.EncodeToString(p.genesis) + "\n")
	for name, b := range p.made {
		p.check(os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	// The chain as the peer has it, for tests against Fabric's own code.
	p.check(os.WriteFile(filepath.Join(dir, "chain.pb"), protoList(p.blocks), 0o600))
}

// protoList is a common.BlockData of raw blocks: a list in one file.
func protoList(list [][]byte) []byte {
	b, _ := proto.Marshal(&common.BlockData{Data: list})
	return b
}
