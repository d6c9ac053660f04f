package follow

import (
	"context"
	"errors"

	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/index"
)

// Rebuild applies the peer's chain, from block 0 on, to an index, and returns the
// height it reached: the peer's when it began.
func Rebuild(ctx context.Context, peer Source, x *index.Index) (height uint64, err error) {
	want, err := peer.Height(ctx)
	if err != nil {
		return 0, err
	}
	err = peer.Blocks(ctx, 0, func(b block.Block) error {
		if err := x.Apply(ctx, b); err != nil {
			return err
		}
		if height = b.Number + 1; height >= want {
			return errLevel
		}
		return nil
	})
	if errors.Is(err, errLevel) {
		err = nil
	}
	return height, err
}
