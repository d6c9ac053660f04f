package channel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"golang.org/x/sync/errgroup"
)

// Heights asks consenters how many blocks each has, by their organisations' MSP ids; those of organisations in but
// are not asked. It is an error if one of the others does not answer: its height is not known then.
func (m *Member) Heights(ctx context.Context, config *common.Config, but ...string) (map[string]uint64, error) {
	nodes, err := orderers(config)
	if err != nil {
		return nil, err
	}
	nodes = slices.DeleteFunc(nodes, func(n node) bool { return slices.Contains(but, n.mspID) })
	said := make([]uint64, len(nodes))
	all, ctx := errgroup.WithContext(ctx)
	for i, n := range nodes {
		all.Go(func() (err error) {
			if said[i], err = m.height(ctx, n); err != nil {
				err = fmt.Errorf("the orderer of %s (%s): %w", n.mspID, n.at, err)
			}
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	heights := map[string]uint64{}
	for i, n := range nodes {
		heights[n.mspID] = said[i]
	}
	return heights, nil
}

// height asks an orderer for the header of its newest block.
func (m *Member) height(ctx context.Context, n node) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askOrderer)
	defer cancel()
	newest := &orderer.SeekPosition{Type: &orderer.SeekPosition_Newest{Newest: &orderer.SeekNewest{}}}
	envelope, err := m.wrap(m.name, common.HeaderType_DELIVER_SEEK_INFO, marshal(&orderer.SeekInfo{
		Start: newest, Stop: newest, Behavior: orderer.SeekInfo_FAIL_IF_NOT_READY, ContentType: orderer.SeekInfo_HEADER_WITH_SIG,
	}))
	if err != nil {
		return 0, err
	}
	conn, err := Dial(n.at.String(), n.roots)
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // it was only read from
	stream, err := orderer.NewAtomicBroadcastClient(conn).Deliver(ctx)
	if err != nil {
		return 0, err
	}
	if err := stream.Send(envelope); err != nil {
		return 0, err
	}
	answer, err := stream.Recv()
	if err != nil {
		return 0, err
	}
	if answer.GetBlock() == nil {
		return 0, errors.New(answer.GetStatus().String())
	}
	return answer.GetBlock().GetHeader().GetNumber() + 1, nil
}
