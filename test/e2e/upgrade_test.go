package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/test/lab"
	"github.com/waybill-dev/waybill/test/rogue"
)

// built begins to build a version of the contract, and returns where it is once it is there.
func (r road) built(ctx context.Context, p rogue.Program) func() string {
	r.t.Helper()
	dir := r.t.TempDir()
	program, done := filepath.Join(dir, "waybill-chaincode"), make(chan error, 1)
	go func() { done <- p.Build(ctx, dir, "-o", program, "./cmd/waybill-chaincode") }()
	built := false
	return func() string {
		r.t.Helper()
		if !built {
			if err := <-done; err != nil {
				r.t.Fatal(err)
			}
			built = true
		}
		return program
	}
}

func upgradeTo(version, program string) func(host) string {
	return same("waybill chaincode upgrade --version " + version + " --program " + program)
}

// act publishes a variable, which every version does.
func (r road) act(ctx context.Context, h host, name, within string) (string, error) {
	return r.run(ctx, h, "waybill context set "+name+" true --timeout "+within)
}

// acts does so once the peers know of each other, who may have come back just now.
func (r road) acts(ctx context.Context, h host, name string) {
	r.t.Helper()
	if err := lab.Poll(ctx, time.Minute, func() error { _, err := r.act(ctx, h, name, "20s"); return err }); err != nil {
		r.t.Fatal(err)
	}
}

// ask asks a host's own peer what only the next version of the contract knows.
func (r road) ask(ctx context.Context, h host) (string, error) {
	var answer []byte
	err := r.dialled(h, "auditor", func(c *ledger.Client) (err error) {
		answer, err = c.EvaluateOwn(ctx, "clock:Version")
		return err
	})
	return string(answer), err
}

func (r road) dialled(h host, person string, do func(*ledger.Client) error) error {
	f, err := org.Open(h.folder, org.Options{})
	if err != nil {
		return err
	}
	me := f.Client()
	c, err := ledger.Dial(ledger.Config{
		MSPID: me.MSPID, CertFile: me.People[person].Cert, KeyFile: me.People[person].Key, PeerAddress: me.PeerAddress, PeerTLSCAFile: me.PeerTLSCA,
		Channel: f.Spec().Channel, Chaincode: f.Spec().Chaincode, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	return errors.Join(do(c), c.Close())
}

// level waits until the peers of all hosts have the same blocks.
func (r road) level(ctx context.Context) {
	r.t.Helper()
	if err := lab.Poll(ctx, 30*time.Second, func() error {
		var heights []uint64
		for _, h := range r.hosts {
			if err := r.dialled(h, "auditor", func(c *ledger.Client) error {
				height, err := c.Height(ctx)
				heights = append(heights, height)
				return err
			}); err != nil {
				return err
			}
		}
		for _, height := range heights {
			if height != heights[0] {
				return fmt.Errorf("the peers have %d blocks", heights)
			}
		}
		return nil
	}); err != nil {
		r.t.Error(err)
	}
}

// upgrade is to the contract's next version, another program, for which audit is late.
func (r road) upgrade(ctx context.Context, program string) {
	audit, platform := r.hosts[3:], r.hosts[2:3]
	r.must(ctx, r.hosts[:3], upgradeTo("2", program))
	if said, err := r.ask(ctx, r.hosts[0]); err == nil {
		r.t.Errorf("version 2 answers before it is in force: %s", said)
	}
	r.acts(ctx, audit[0], "before")
	r.must(ctx, r.hosts[:1], same("waybill chaincode commit"))
	r.must(ctx, r.hosts[1:3], same("waybill org up"))
	for i, h := range r.hosts {
		r.acts(ctx, h, "between") // audit's peer does not endorse, but knows who does
		if said, err := r.ask(ctx, h); (i < 3) != (err == nil && said == "2") {
			r.t.Errorf("%s runs %q, %v", h.org, said, err)
		}
	}
	r.must(ctx, audit, upgradeTo("2", program))
	r.must(ctx, platform, same("waybill org down"))
	r.acts(ctx, r.hosts[0], "after") // three of four endorse, and audit is one of the three
	if said, err := r.ask(ctx, audit[0]); err != nil || said != "2" {
		r.t.Errorf("audit runs %q, %v", said, err)
	}
	for _, out := range r.must(ctx, r.hosts[:1], same("waybill org status")) {
		if strings.Contains(out, "vendor-chaincode ") || !strings.Contains(out, "vendor-chaincode-2 ") {
			r.t.Errorf("after the upgrade there run:\n%s", out)
		}
	}
	r.must(ctx, platform, same("waybill org up"))
}

// disagrees is a version under which vendor runs another program than the others, to which audit comes late and platform
// never. What the programs compute alike goes on; what they do not is refused, and stands on no peer.
func (r road) disagrees(ctx context.Context, program, other string) {
	vendor, security, audit := r.hosts[0], r.hosts[1], r.hosts[3]
	r.must(ctx, r.hosts[:1], upgradeTo("3", other))
	r.must(ctx, r.hosts[1:2], upgradeTo("3", program))
	// Two of four approved it: that is no majority, and nothing changes.
	if out, err := r.run(ctx, vendor, "waybill chaincode commit"); err == nil {
		r.t.Fatalf("two of four put a version in force:\n%s", out)
	}
	r.acts(ctx, security, "two")
	r.must(ctx, r.hosts[3:], upgradeTo("3", program))
	r.must(ctx, r.hosts[1:2], same("waybill chaincode commit"))
	r.must(ctx, []host{vendor, audit}, same("waybill org up"))
	for _, h := range []host{vendor, security} {
		if err := lab.Poll(ctx, 30*time.Second, func() error { // of a peer that knows of the others again
			err := r.dialled(h, "admin", func(c *ledger.Client) error {
				_, err := c.Endorse(ctx, "context:Set", []string{"disputed", "true"}, nil)
				return err
			})
			if err == nil {
				return errors.New("the peers agree")
			}
			if strings.Contains(err.Error(), "do not match") {
				return nil
			}
			return err
		}); err != nil {
			r.t.Errorf("%s: %v", h.org, err)
		}
		if out, err := r.act(ctx, h, "disputed", "3s"); err == nil {
			r.t.Errorf("%s publishes what two programs compute differently:\n%s", h.org, out)
		}
	}
	r.must(ctx, []host{security}, same("waybill member grant deputy auditor")) // alike
	r.level(ctx)
	for _, out := range r.must(ctx, []host{security, audit}, same("waybill context list -o json")) {
		if strings.Contains(out, "disputed") {
			r.t.Errorf("it stands on the ledger:\n%s", out)
		}
	}
	// Vendor puts the others' program in its place, and three of four endorse again.
	r.must(ctx, []host{vendor}, same("waybill org down"))
	r.must(ctx, []host{vendor}, upgradeTo("3", program))
	r.must(ctx, []host{vendor}, same("waybill org up"))
	for _, h := range []host{vendor, security, audit} {
		r.acts(ctx, h, "agreed")
	}
	r.level(ctx) // platform's peer, which never came, has read all of it
}
