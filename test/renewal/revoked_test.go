package renewal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/network/cert"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/test/lab"
)

// revoked: from the block on that brings the list in, the person's acts and questions are refused everywhere, with the reason.
func revoked(t *testing.T, ctx context.Context, l *lab.Lab, all []organisation) {
	vendor := all[0]
	if out, code := l.Waybill(ctx, "inbox", "--as", "vendor/scanner"); code != 0 {
		t.Fatalf("before: exit %d, %s", code, out)
	}
	thief, err := l.Dial("vendor", "scanner")
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close() //nolint:errcheck // the test is over
	kept, err := thief.Endorse(ctx, "context:Set", []string{"kept", "1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var acted atomic.Int64
	var thieving sync.WaitGroup
	acting, stop := context.WithCancel(ctx)
	thieving.Go(func() { // as fast as it goes, up to the last moment
		for n := 1; acting.Err() == nil; n++ {
			if _, err := thief.Submit(acting, "context:Set", "stolen", fmt.Sprint(n)); err == nil {
				acted.Add(1)
			}
		}
	})
	if err := lab.Poll(ctx, 20*time.Second, func() error {
		if acted.Load() < 3 {
			return errors.New("who is to be revoked does not act")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if _, err := vendor.certs.Revoke(ctx, cert.Revocation{Names: []string{"scanner"}}, vendor.options); err != nil {
		t.Fatal(err)
	}
	last := agree(t, ctx, all, vendor, channel.UpdateOrg)
	for _, o := range all {
		if err := refusedBy(ctx, l, vendor, o, last); err != nil {
			t.Errorf("the peer of %s: %v", o.Spec().Name, err)
		}
		if err := notOrdered(ctx, o, kept); err != nil {
			t.Errorf("the orderer of %s: %v", o.Spec().Name, err)
		}
	}
	stop()
	thieving.Wait()
	before := int(acted.Load())
	if err := lab.Poll(ctx, 10*time.Second, func() error {
		out, code := l.Waybill(ctx, "inbox", "--as", "vendor/scanner")
		if code == 0 || !strings.Contains(out, "revoked") {
			return fmt.Errorf("a question of who was revoked: exit %d, %s", code, out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	for _, o := range all {
		acts, at, err := lastAct(ctx, l, o.Spec().Name, policy.Person{MSP: vendor.Spec().MSPID, Name: "scanner"})
		t.Logf("%s: the list came with block %d; %d acts of who was revoked, %d of them heard of, the last in block %d", o.Spec().Name, last, acts, before, at)
		if err != nil || acts < before || before == 0 || at > last {
			t.Errorf("%s: %d acts, the last in block %d: %v", o.Spec().Name, acts, at, err)
		}
	}
	if _, err := vendor.certs.Renew(ctx, []string{"scanner"}, vendor.options); err != nil {
		t.Fatal(err)
	}
	if err := lab.Poll(ctx, 10*time.Second, func() error {
		if out, code := l.Waybill(ctx, "inbox", "--as", "vendor/scanner"); code != 0 {
			return fmt.Errorf("with a new certificate: exit %d, %s", code, out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// refusedBy wants a peer that has the block with the list to refuse the scanner of an organisation.
func refusedBy(ctx context.Context, l *lab.Lab, of, at organisation, last uint64) error {
	own, err := l.Dial(at.Spec().Name, "auditor")
	if err != nil {
		return err
	}
	defer func() { _ = own.Close() }() // only asked
	if err := lab.Poll(ctx, 30*time.Second, func() error {
		height, err := own.Height(ctx)
		if err == nil && height <= last {
			err = fmt.Errorf("at height %d", height)
		}
		return err
	}); err != nil {
		return err
	}
	who, where := of.Client(), at.Client()
	c, err := ledger.Dial(ledger.Config{
		MSPID: who.MSPID, CertFile: who.People["scanner"].Cert, KeyFile: who.People["scanner"].Key, PeerAddress: where.PeerAddress, PeerTLSCAFile: where.PeerTLSCA,
		Channel: of.Spec().Channel, Chaincode: of.Spec().Chaincode, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // only asked
	if _, err = c.EvaluateOwn(ctx, "policy:List"); err == nil {
		return errors.New("answers who was revoked")
	}
	return nil
}

// notOrdered wants an orderer to refuse what was signed by who was revoked, and endorsed before.
func notOrdered(ctx context.Context, o organisation, kept ledger.Endorsed) error {
	prepared := &gateway.PreparedTransaction{}
	if err := proto.Unmarshal(kept.Bytes, prepared); err != nil {
		return err
	}
	conn, err := channel.DialFile(o.Spec().Announce.Orderer, o.Client().PeerTLSCA)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer was read
	// An orderer may be a moment behind the one that was asked for the block.
	return lab.Poll(ctx, 10*time.Second, func() error {
		stream, err := orderer.NewAtomicBroadcastClient(conn).Broadcast(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(prepared.GetEnvelope()); err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err == nil && answer.GetStatus() != common.Status_FORBIDDEN {
			err = fmt.Errorf("answers %s, %s", answer.GetStatus(), answer.GetInfo())
		}
		return err
	})
}

// lastAct counts the valid transactions of a person on a peer, and returns the block of the last.
func lastAct(ctx context.Context, l *lab.Lab, at string, of policy.Person) (acts int, last uint64, err error) {
	c, err := l.Dial(at, "auditor")
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = c.Close() }() // only read from
	height, err := c.Height(ctx)
	if err != nil {
		return 0, 0, err
	}
	err = c.Blocks(ctx, 0, func(b block.Block) error {
		for _, tx := range b.Txs {
			if tx.Creator == of && (tx.Function == "context:Set" || len(tx.Writes) > 0) {
				acts, last = acts+1, b.Number
			}
		}
		if b.Number+1 >= height {
			return os.ErrClosed
		}
		return nil
	})
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return acts, last, err
}
