package follow

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/waybill-dev/waybill/gateway/index"
)

// Rebuild applies the peer's chain, from block 0 on, to an index, and returns the
// height it reached: the peer's when it began. It logs how far it is, and how long
// the rest takes where blocks go on as they did.
func Rebuild(ctx context.Context, peer Source, x *index.Index, log *slog.Logger) (height uint64, err error) {
	want, err := peer.Height(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	told := began
	err = ahead(ctx, peer, 0, func(blocks []index.Prepared) error {
		level := blocks[len(blocks)-1].Number+1 >= want
		if level {
			blocks = blocks[:max(0, min(len(blocks), int(want-blocks[0].Number)))]
		}
		if len(blocks) == 0 { // the channel has one at least
			return errLevel
		}
		if err := x.ApplyPrepared(ctx, blocks); err != nil {
			return err
		}
		height = blocks[len(blocks)-1].Number + 1
		if level {
			return errLevel
		}
		if time.Since(told) > progress {
			told = time.Now()
			log.InfoContext(ctx, "rebuilding the index", slog.Uint64("blocks", height), slog.Uint64("of", want),
				slog.Duration("left", remaining(time.Since(began), height, want)))
		}
		return nil
	})
	if errors.Is(err, errLevel) {
		err = nil
	}
	return height, err
}

// remaining is how long the rest takes at the pace so far.
func remaining(took time.Duration, done, of uint64) time.Duration {
	if done == 0 || of <= done {
		return 0
	}
	return time.Duration(float64(took) / float64(done) * float64(of-done)).Round(time.Second)
}
