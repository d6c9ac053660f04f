package lab

import (
	"context"
	"errors"
	"log/slog"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/ledger"
)

// Dial connects a person to its own organisation's peer.
func (l *Lab) Dial(org, person string) (*ledger.Client, error) {
	c, err := l.Clients.Org(org)
	if err != nil {
		return nil, err
	}
	return ledger.Dial(ledger.Config{
		MSPID: c.MSPID, CertFile: c.People[person].Cert, KeyFile: c.People[person].Key, PeerAddress: c.PeerAddress, PeerTLSCAFile: c.PeerTLSCA,
		Channel: l.Clients.Channel, Chaincode: l.Clients.Chaincode, After: ledger.AfterOf(l.Clients.After), Log: slog.New(slog.DiscardHandler),
	})
}

// Journal is what an organisation's peer holds of a repository, read from its
// blocks alone: no gateway and no index of ours is believed.
type Journal struct {
	Pushes map[provenance.EventID]int // times each event stands on the ledger
	Images map[string]int             // push events per digest
	Height uint64
}

// ReadJournal reads the whole chain of an organisation's peer: of one repository, or of all when repo is "".
func (l *Lab) ReadJournal(ctx context.Context, org string, repo provenance.Repository) (Journal, error) {
	j := Journal{Pushes: map[provenance.EventID]int{}, Images: map[string]int{}}
	c, err := l.Dial(org, "auditor")
	if err != nil {
		return j, err
	}
	defer func() { _ = c.Close() }()
	height, err := c.Height(ctx)
	if err != nil {
		return j, err
	}
	done := errors.New("done")
	err = c.Blocks(ctx, 0, func(b block.Block) error {
		for _, tx := range b.Txs {
			for _, w := range tx.Writes {
				if err := j.add(w, repo); err != nil {
					return err
				}
			}
		}
		j.Height = b.Number + 1
		if j.Height >= height {
			return done
		}
		return nil
	})
	if errors.Is(err, done) {
		err = nil
	}
	return j, err
}

func (j Journal) add(w block.Write, repo provenance.Repository) error {
	if kind, _, ok := state.SplitKey(w.Key); !ok || kind != state.TypeJournal {
		return nil
	}
	events, err := provenance.DecodeSegment(w.Value)
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Action == provenance.Push && (repo == "" || e.Repository == repo) {
			j.Pushes[e.ID]++
			j.Images[e.Digest.String()]++
		}
	}
	return nil
}
