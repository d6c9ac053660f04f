package follow

import (
	"context"

	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/index"
)

const (
	// readAhead is how many blocks wait for the one at hand; one is some two
	// megabytes at most.
	readAhead = 16
	// A batch holds readers of a shared index up, and is lost whole by a crash.
	batchBlocks = 64
	batchBytes  = 8 << 20
)

// ahead reads and prepares blocks while those before are taken. take gets all that
// are there, in their order: one where it is level with the peer, many where it is
// not. It ends with the error of take, or with that of the stream.
func ahead(ctx context.Context, peer Source, from uint64, take func([]index.Prepared) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	blocks, streamed := make(chan index.Prepared, readAhead), make(chan error, 1)
	go func() {
		defer close(blocks)
		streamed <- peer.Blocks(ctx, from, func(b block.Block) error {
			select {
			case blocks <- index.Prepare(b):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	for first := range blocks {
		batch, size := []index.Prepared{first}, first.Size()
	more:
		for len(batch) < batchBlocks && size < batchBytes {
			select {
			case next, ok := <-blocks:
				if !ok {
					break more
				}
				batch, size = append(batch, next), size+next.Size()
			default:
				break more
			}
		}
		if err := take(batch); err != nil {
			cancel()
			for range blocks { // what was read beyond is read again
			}
			<-streamed //nolint:errcheck // it ends because it was cancelled
			return err
		}
	}
	return <-streamed
}
