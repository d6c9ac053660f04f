package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/connlimit"
	"github.com/waybill-dev/waybill/gateway/follow"
	"github.com/waybill-dev/waybill/gateway/fsck"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/keypair"
	"github.com/waybill-dev/waybill/gateway/queue"
)

const (
	queueFile = "queue.db"
	indexFile = "index.db"
)

// Init creates the databases. It refuses a folder that has one: creating over
// a queue would lose events that were accepted.
func Init(ctx context.Context, cfg Config) error { return create(ctx, cfg, false) }

// InitOnce is Init for whoever cannot know whether it was done: databases that
// are there stay as they are. A queue that is missing beside an index was lost,
// and is not replaced by an empty one.
func InitOnce(ctx context.Context, cfg Config) error {
	if cfg.Queue.URLFile == "" && cfg.Index.URLFile == "" {
		_, queued := os.Stat(filepath.Join(cfg.DataDir, queueFile))
		_, indexed := os.Stat(filepath.Join(cfg.DataDir, indexFile))
		if errors.Is(queued, fs.ErrNotExist) && indexed == nil {
			return provenance.Errorf(provenance.Conflict, "%s has an index and no queue: the queue was lost; put it back, or make a new data_dir", cfg.DataDir)
		}
	}
	return create(ctx, cfg, true)
}

// create makes the databases; present says whether they may be there already.
func create(ctx context.Context, cfg Config, present bool) error {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	where, err := queuePlace(cfg)
	if err != nil {
		return err
	}
	there := func(err error, urlFile string) bool {
		// A replica finds the shared databases there already.
		return provenance.CodeOf(err) == provenance.Conflict && (present || urlFile != "")
	}
	if err := queue.Create(ctx, where); err != nil && !there(err, cfg.Queue.URLFile) {
		return err
	}
	if where, err = indexPlace(cfg); err != nil {
		return err
	}
	if err = index.Create(ctx, where); !there(err, cfg.Index.URLFile) {
		return err
	}
	x, err := index.Open(ctx, where) // it may be something else that is there
	if err != nil {
		return err
	}
	return x.Close()
}

// queuePlace is where the queue is: a file, or the URL of a database.
func queuePlace(cfg Config) (string, error) {
	return place(cfg, queueFile, "queue.url_file", cfg.Queue.URLFile)
}

// indexPlace is where the index is, in the same way.
func indexPlace(cfg Config) (string, error) {
	return place(cfg, indexFile, "index.url_file", cfg.Index.URLFile)
}

func place(cfg Config, file, key, urlFile string) (string, error) {
	if urlFile == "" {
		return filepath.Join(cfg.DataDir, file), nil
	}
	b, err := os.ReadFile(urlFile)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	where := strings.TrimSpace(string(b))
	if !strings.HasPrefix(where, "postgres://") && !strings.HasPrefix(where, "postgresql://") {
		return "", provenance.Errorf(provenance.Invalid, "%s %s: want a URL that opens with postgres://", key, urlFile)
	}
	return where, nil
}

// Run runs the gateway until ctx ends, and then returns nil. It returns the
// first error of any loop; starting again repairs what a crash left.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := learn(ctx, cfg); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	g, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }() //nolint:contextcheck // it closes after ctx has ended

	apiListener, err := connlimit.Listen(ctx, "api.listen", cfg.API.Listen)
	if err != nil {
		return err
	}
	hooksListener, err := connlimit.Listen(ctx, "hooks.listen", cfg.Hooks.Listen)
	if err != nil {
		return errors.Join(err, apiListener.Close())
	}
	cfg.Log.InfoContext(ctx, "gateway runs", slog.String("api", cfg.API.Listen), slog.String("hooks", cfg.Hooks.Listen), slog.String("version", cfg.Version))

	eg, ctx := errgroup.WithContext(ctx)
	eg.Go(func() error { return g.api.Serve(ctx, apiListener) })    // answers out
	eg.Go(func() error { return g.serveHooks(ctx, hooksListener) }) // notifications in -> queue
	eg.Go(func() error { return g.recorder.Run(ctx) })              // queue -> ledger
	eg.Go(func() error { return g.clients.Run(ctx) })               // ... -> our own private data
	eg.Go(func() error { return g.retention.Run(ctx) })             // ... -> nowhere, when it is old
	eg.Go(func() error { return g.follower.Run(ctx) })              // ledger -> index
	eg.Go(func() error { return g.follower.Watch(ctx) })            // how far behind the peer
	eg.Go(func() error { return g.worker.Run(ctx) })                // what blocks asked of us -> evidence, witness
	eg.Go(func() error { return g.batches.Run(ctx) })               // ... evidence, many pieces to a transaction
	if g.releaser != nil {
		eg.Go(func() error { return g.releaser.Run(ctx) }) // index -> releases that are due
	}
	eg.Go(func() error { return g.ticker.Run(ctx) })                                         // ... -> the ledger's clock
	eg.Go(func() error { return g.sweeper.Run(ctx) })                                        // registries, compared with the index -> queue
	eg.Go(func() error { return keypair.Watch(ctx, cfg.Log, keypair.Every, g.renewable()) }) // certificates that were renewed
	eg.Go(func() error { return g.metrics.Serve(ctx, cfg.Metrics.Listen) })
	if err := eg.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Reindex rebuilds the index: it follows the chain from block 0 into a new
// database with the same Apply, and puts it in the old one's place. An index in
// data_dir must not be open; replicas that share one go on while it is rebuilt.
func Reindex(ctx context.Context, cfg Config) (height uint64, err error) {
	where, err := indexPlace(cfg)
	if err != nil {
		return 0, err
	}
	client, err := dial(cfg)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	err = index.Rebuild(ctx, where, func(x *index.Index) (err error) {
		height, err = follow.Rebuild(ctx, client, x, cfg.Log)
		return err
	})
	return height, err
}

// Fsck compares queue, index and ledger while the gateway is stopped, and with
// repair mends what the ledger proves.
func Fsck(ctx context.Context, cfg Config, repair bool) (fsck.Report, error) {
	var err error
	o := fsck.Options{
		MSPID: cfg.MSPID, Hosts: map[provenance.Host]bool{}, Remember: cfg.Queue.Remember, Log: cfg.Log,
		QueueOptions: queue.Options{Lanes: cfg.Queue.Lanes, MinFreeBytes: cfg.Queue.MinFreeBytes, LaneTTL: cfg.Queue.LaneTTL, Log: cfg.Log, Exclusive: true},
		Dial:         func() (fsck.Peer, error) { return dial(cfg) },
	}
	if o.Queue, err = queuePlace(cfg); err != nil {
		return fsck.Report{}, err
	}
	if o.Index, err = indexPlace(cfg); err != nil {
		return fsck.Report{}, err
	}
	for _, k := range cfg.Connectors {
		if host, err := provenance.ParseHost(k.Host); err == nil { // Validate has said what is wrong
			o.Hosts[host] = true
		}
	}
	return fsck.Run(ctx, o, repair)
}
