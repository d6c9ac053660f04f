package gateway

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/wait"
)

const (
	// stillFor is how long a peer that reads the chain from others has to get no block before it counts as level.
	stillFor    = 10 * time.Second
	stillPolled = time.Second
)

// learn has a gateway whose index is gone begin with what the ledger says, before it takes a notification or sends
// anything: after a restore the queue is an old copy, and what it calls waiting may be recorded. It is what fsck --repair
// does, once the peer has the chain. Where the queue is gone as well, nothing is guessed: open says so.
func learn(ctx context.Context, cfg Config) error {
	if cfg.Queue.URLFile != "" || cfg.Index.URLFile != "" {
		return nil
	}
	_, queued := os.Stat(filepath.Join(cfg.DataDir, queueFile))
	_, indexed := os.Stat(filepath.Join(cfg.DataDir, indexFile))
	if queued != nil || !errors.Is(indexed, fs.ErrNotExist) {
		return nil
	}
	cfg.Log.WarnContext(ctx, "there is no index: it is made of the chain, and the queue learns what is recorded, before anything else",
		slog.String("data_dir", cfg.DataDir))
	if err := awaitLevel(ctx, cfg); err != nil {
		return err
	}
	report, err := Fsck(ctx, cfg, true)
	if err != nil {
		return err
	}
	if left := report.Left(); left > 0 {
		cfg.Log.WarnContext(ctx, "differences are left: waybill-gateway fsck names them", slog.Int("left", left))
	}
	cfg.Log.InfoContext(ctx, "the index is made", slog.Uint64("blocks", report.Ledger.Height))
	return nil
}

// awaitLevel waits until the peer answers and has got no block for a while: of one that still reads the chain, what it
// has not read would be taken for lost.
func awaitLevel(ctx context.Context, cfg Config) (err error) {
	client, err := dial(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	var height uint64
	since, told := time.Now(), time.Now()
	for {
		now, err := client.Height(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && provenance.CodeOf(err) != provenance.Unavailable && provenance.CodeOf(err) != provenance.Internal:
			return err
		case err != nil || now != height:
			height, since = now, time.Now()
		case time.Since(since) >= stillFor:
			return nil
		}
		if time.Since(told) >= 5*time.Second {
			told = time.Now()
			cfg.Log.InfoContext(ctx, "waiting for the peer to have the chain", slog.Uint64("blocks", height), slog.Any("error", err))
		}
		if err := wait.For(ctx, stillPolled); err != nil {
			return err
		}
	}
}
