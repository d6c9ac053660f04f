package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/test/lab"
)

// replayer is somebody of another organisation who sends recorded segments
// again: the very transactions, as they stand in the blocks. Each is ordered
// once more, and every peer has to find it invalid.
type replayer struct {
	lab  *lab.Lab
	rng  *rand.Rand
	orgs []string
	sent int
}

// run replays until over says so, one transaction in every pace. A peer that is
// down is nobody's fault here.
func (p *replayer) run(ctx context.Context, over func() bool, pace time.Duration) error {
	for due := time.Now().Add(pace); !over(); due = due.Add(pace) {
		if err := pause(ctx, time.Until(due)); err != nil {
			return err
		}
		if err := p.one(ctx, p.orgs[p.rng.IntN(len(p.orgs))]); err == nil {
			p.sent++
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (p *replayer) one(ctx context.Context, org string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := p.lab.Dial(org, "auditor")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing of it is kept
	height, err := c.Height(ctx)
	if err != nil {
		return err
	}
	raw, err := p.block(ctx, org, p.rng.Uint64N(height))
	if err != nil {
		return err
	}
	for _, data := range raw.GetData().GetData() {
		tx, err := readTx(data)
		if err != nil || tx.Segment == "" {
			continue
		}
		var envelope common.Envelope
		if err := proto.Unmarshal(data, &envelope); err != nil {
			return err
		}
		prepared, err := proto.Marshal(&gateway.PreparedTransaction{TransactionId: tx.ID, Envelope: &envelope})
		if err != nil {
			return err
		}
		return c.SubmitEndorsed(ctx, ledger.Endorsed{TxID: tx.ID, Bytes: prepared})
	}
	return errors.New("no segment in this block")
}

// block reads one block of an organisation's peer.
func (p *replayer) block(ctx context.Context, org string, number uint64) (raw *common.Block, err error) {
	o, err := p.lab.Clients.Org(org)
	if err != nil {
		return nil, err
	}
	peer, conn, err := dialPeer(o.PeerAddress, o.PeerTLSCA, o.MSPID, o.People["auditor"].Cert, o.People["auditor"].Key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, peer.Close(), conn.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	blocks, err := peer.GetNetwork(p.lab.Clients.Channel).BlockEvents(ctx, client.WithStartBlock(number))
	if err != nil {
		return nil, err
	}
	raw = <-blocks
	if raw == nil {
		return nil, errors.New("the stream ended")
	}
	return raw, nil
}
