package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/ledger"
)

// holds tells which files below a folder hold a text.
func (p *pulling) holds(folder, text string) (files []string) {
	p.t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			if errors.Is(err, fs.ErrNotExist) { // a database tidied up
				return nil
			}
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(b, []byte(text)) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return files
}

func (p *pulling) scanned(t *testing.T) {
	p.t = t
	p.settle()
	orgs := filepath.Join(p.lab.Dir, "network", "orgs")
	blocks := func(files []string) (n int) {
		for _, f := range files {
			if strings.Contains(filepath.Base(f), "blockfile") {
				n++
			}
		}
		return n
	}
	for _, org := range []string{"audit", "platform", "security"} {
		for _, word := range []string{secretActor, secretAgent, "203.0.113.77", "crane"} {
			if files := p.holds(filepath.Join(orgs, org), word); len(files) > 0 {
				t.Errorf("%s holds %q in %v", org, word, files)
			}
		}
		// The scan sees what is there: the same blocks name the repository.
		if blocks(p.holds(filepath.Join(orgs, org), pullRepo)) == 0 {
			t.Errorf("%s: no block file names %s: the scan looks in the wrong place", org, pullRepo)
		}
	}
	vendor := filepath.Join(orgs, "vendor")
	kept := p.holds(vendor, secretActor)
	private := 0
	for _, f := range kept {
		if strings.Contains(f, "pvtdataStore") {
			private++
		}
	}
	if private == 0 || blocks(kept) > 0 {
		t.Errorf("vendor holds it in %v: want the store of private data, and no block", kept)
	}
}

// segments returns the segments that hide something, as another organisation's peer has them.
func (p *pulling) segments() (hidden [][]string, kept int) {
	p.t.Helper()
	c := p.as("audit/auditor")
	height, err := c.Height(p.ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	done := errors.New("done")
	err = c.Blocks(p.ctx, 0, func(b block.Block) error {
		for _, tx := range b.Txs {
			if tx.Function == "record:Clients" {
				kept++
				if len(tx.Writes) > 0 {
					p.t.Errorf("transaction %s writes %d public keys", tx.ID, len(tx.Writes))
				}
			}
			for _, w := range tx.Writes {
				name, ok := state.SplitJournal(w.Key)
				if !ok {
					continue
				}
				events, err := provenance.DecodeSegment(w.Value)
				if err != nil {
					return err
				}
				hides := false
				for _, e := range events {
					hides = hides || !e.Blind.IsZero()
				}
				if hides {
					hidden = append(hidden, []string{string(name.Host), name.Lane, fmt.Sprint(name.Seq)})
				}
			}
		}
		if b.Number+1 >= height {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		p.t.Fatal(err)
	}
	return hidden, kept
}

func (p *pulling) asked(t *testing.T) {
	p.t = t
	hidden, kept := p.segments()
	// Every segment that hides something has its transaction, and it is valid:
	// endorsed by vendor alone, it writes vendor's private data alone.
	if len(hidden) == 0 || kept < len(hidden) {
		t.Fatalf("%d segments hide something, %d transactions kept it", len(hidden), kept)
	}
	t.Logf("%d segments hide something, %d valid transactions kept it", len(hidden), kept)
	for _, tt := range []struct{ who, peer string }{
		{"audit/gateway", "audit"}, {"audit/gateway", "vendor"}, {"security/gateway", "security"},
		{"vendor/gateway", "audit"}, // even the owner gets nothing from a peer that has nothing
		{"vendor/auditor", "vendor"},
	} {
		c := p.through(tt.who, tt.peer)
		answer, err := c.Evaluate(p.ctx, "record:ReadClients", hidden[0]...)
		if err == nil || len(answer) > 0 {
			t.Errorf("%s got %q from the peer of %s", tt.who, answer, tt.peer)
		}
		t.Logf("%s of %s's peer: %v", tt.who, tt.peer, err)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if answer, err := p.as("vendor/gateway").EvaluateOwn(p.ctx, "record:ReadClients", hidden[0]...); err != nil || len(answer) == 0 {
		t.Errorf("the owner on its own peer: %v", err)
	}
}

// through connects a person to any organisation's peer.
func (p *pulling) through(who, peer string) *ledger.Client {
	p.t.Helper()
	org, person, _ := strings.Cut(who, "/")
	own, err := p.lab.Clients.Org(org)
	if err != nil {
		p.t.Fatal(err)
	}
	other, err := p.lab.Clients.Org(peer)
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := ledger.Dial(ledger.Config{
		MSPID: own.MSPID, CertFile: own.People[person].Cert, KeyFile: own.People[person].Key, PeerAddress: other.PeerAddress, PeerTLSCAFile: other.PeerTLSCA,
		Channel: p.lab.Clients.Channel, Chaincode: p.lab.Clients.Chaincode, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}
