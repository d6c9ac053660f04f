package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/lab"
)

// readPeer reads the blocks of an organisation's peer up to height, whole: the
// gateway's own reader leaves invalid transactions out.
func readPeer(ctx context.Context, l *lab.Lab, org string, height uint64) (p check.Peer, err error) {
	p.Name = org
	err = l.Blocks(ctx, org, 0, func(raw *common.Block) (bool, error) {
		b, err := check.ReadBlock(raw, l.Clients.Chaincode)
		if err != nil {
			return false, fmt.Errorf("peer of %s: block %d: %w", org, raw.GetHeader().GetNumber(), err)
		}
		p.Blocks = append(p.Blocks, b)
		return uint64(len(p.Blocks)) >= height, nil
	})
	if err != nil {
		err = fmt.Errorf("%d of %d blocks: %w", len(p.Blocks), height, err)
	}
	return p, err
}

// readIndex reads what a stopped gateway's index tells of every place that the
// ledger or a sender speaks of, and makes one anew with the gateway's own command.
func readIndex(ctx context.Context, l *lab.Lab, org string, places [][2]string) (out check.Index, err error) {
	x, err := index.Open(ctx, filepath.Join(l.GatewayData(org), "index.db"))
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	out, err = check.Read(ctx, x, org, places)
	if err != nil {
		return out, err
	}
	out.Rebuilt, err = rebuild(ctx, l, org)
	return out, err
}

func rebuild(ctx context.Context, l *lab.Lab, org string) (fingerprint string, err error) {
	folder := filepath.Join(l.Dir, "again-"+org)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	if out, code := l.Gateway(ctx, org, []string{"WAYBILL_DATA_DIR=" + folder}, "reindex"); code != 0 {
		return "", fmt.Errorf("reindex: exit %d: %s", code, out)
	}
	x, err := index.Open(ctx, filepath.Join(folder, "index.db"))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	return x.Fingerprint(ctx)
}
