package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/autorelease"
	"github.com/waybill-dev/waybill/gateway/clock"
	"github.com/waybill-dev/waybill/gateway/connlimit"
	"github.com/waybill-dev/waybill/gateway/follow"
	"github.com/waybill-dev/waybill/gateway/fsck"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/pullclients"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/sweep"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

const (
	queueFile = "queue.db"
	indexFile = "index.db"
)

// Init creates the databases. It refuses a folder that has one: creating over
// a queue would lose events that were accepted.
func Init(ctx context.Context, cfg Config) error {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	where, err := queuePlace(cfg)
	if err != nil {
		return err
	}
	// A replica finds the shared databases there already.
	if err := queue.Create(ctx, where); err != nil && (cfg.Queue.URLFile == "" || provenance.CodeOf(err) != provenance.Conflict) {
		return err
	}
	if where, err = indexPlace(cfg); err != nil {
		return err
	}
	err = index.Create(ctx, where)
	if cfg.Index.URLFile == "" || provenance.CodeOf(err) != provenance.Conflict {
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
	eg.Go(func() error { return g.submitter.Run(ctx) })             // queue -> ledger
	eg.Go(func() error { return g.keeper.Run(ctx) })                // ... -> our own private data
	eg.Go(func() error { return g.retainer.Run(ctx) })              // ... -> nowhere, when it is old
	eg.Go(func() error { return g.follower.Run(ctx) })              // ledger -> index
	eg.Go(func() error { return g.follower.Watch(ctx) })            // how far behind the peer
	eg.Go(func() error { return g.worker.Run(ctx) })                // what blocks asked of us -> evidence, witness
	if g.releaser != nil {
		eg.Go(func() error { return g.releaser.Run(ctx) }) // index -> releases that are due
	}
	eg.Go(func() error { return g.ticker.Run(ctx) })  // ... -> the ledger's clock
	eg.Go(func() error { return g.sweeper.Run(ctx) }) // registries, compared with the index -> queue
	eg.Go(func() error { return g.metrics.serve(ctx, cfg.Metrics.Listen) })
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
		height, err = follow.Rebuild(ctx, client, x)
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
		QueueOptions: queue.Options{Lanes: cfg.Queue.Lanes, MinFreeBytes: cfg.Queue.MinFreeBytes, LaneTTL: cfg.Queue.LaneTTL, Log: cfg.Log, Alone: true},
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

// rooms are the parts of a running gateway.
type rooms struct {
	cfg       Config
	queue     *queue.Queue
	index     *index.Index
	ledger    *ledger.Client
	hooks     *intake.Handler
	api       *api.Server
	submitter *record.Recorder
	keeper    *pullclients.Store
	retainer  *pullclients.Retention
	follower  *follow.Follower
	worker    *tasks.Worker
	releaser  *autorelease.Releaser // nil: switched off
	ticker    *clock.Ticker
	sweeper   *sweep.Sweeper
	metrics   *metrics
}

// open opens everything and starts nothing. A missing database is an error:
// an empty disk is not a new gateway.
func open(ctx context.Context, cfg Config) (g *rooms, err error) {
	g = &rooms{cfg: cfg}
	defer func() { //nolint:contextcheck // it closes after ctx has ended
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	options := queue.Options{
		Lanes: cfg.Queue.Lanes, MaxPending: cfg.Queue.MaxPending, MinFreeBytes: cfg.Queue.MinFreeBytes, Log: cfg.Log,
		ConnectorShare: cfg.Queue.ConnectorShare, Remember: cfg.Queue.Remember, LaneTTL: cfg.Queue.LaneTTL,
	}
	where, err := queuePlace(cfg)
	if err != nil {
		return g, err
	}
	if g.queue, err = queue.Open(ctx, where, options); err != nil {
		return g, fmt.Errorf("%w (a new gateway starts with: waybill-gateway init)", err)
	}
	if where, err = indexPlace(cfg); err != nil {
		return g, err
	}
	if g.index, err = index.Open(ctx, where); err != nil {
		return g, fmt.Errorf("%w (waybill-gateway reindex rebuilds it)", err)
	}
	if g.ledger, err = dial(cfg); err != nil {
		return g, err
	}
	clients, err := openRegistries(cfg)
	if err != nil {
		return g, err
	}
	g.metrics = newMetrics(g.queue)
	g.submitter = g.newSubmitter(clients)
	g.keeper = &pullclients.Store{Queue: g.queue, Ledger: g.ledger, Waits: &g.submitter.Waits, Log: cfg.Log, Woken: make(chan struct{}, 1)}
	g.submitter.Hid = g.keeper.Wake
	if g.retainer, err = g.newRetainer(); err != nil {
		return g, err
	}
	notes := g.newWork(clients)
	g.follower = &follow.Follower{Ledger: g.ledger, Index: g.index, Notes: notes, Log: cfg.Log}
	if g.sweeper, err = g.newSweeper(clients); err != nil {
		return g, err
	}
	connectors, err := g.openHooks(clients)
	if err != nil {
		return g, err
	}
	g.api, err = api.New(api.Config{ //nolint:contextcheck // each request brings its own context
		Org: cfg.MSPID, Version: cfg.Version, Channel: cfg.Channel, CertFile: cfg.API.TLSCert, KeyFile: cfg.API.TLSKey, AnonymousReads: cfg.API.AnonymousReads,
		Index: readModel{g.index}, Queue: operated{g.queue}, Sweeps: g.sweeper, Connectors: connectors, Clients: pullclients.Lookup{Ledger: g.ledger}, Organisations: g.follower.Members, Freshness: g.freshness, Log: cfg.Log, Observe: g.metrics.call,
	})
	return g, err
}

func (g *rooms) close() error {
	var errs []error
	if g.queue != nil {
		errs = append(errs, g.queue.Close())
	}
	if g.index != nil {
		errs = append(errs, g.index.Close())
	}
	if g.ledger != nil {
		errs = append(errs, g.ledger.Close())
	}
	return errors.Join(errs...)
}

func (g *rooms) freshness() readmodel.Freshness {
	f := g.follower.Freshness()
	f.Waiting = g.submitter.State().Reason
	return f
}

func dial(cfg Config) (*ledger.Client, error) {
	return ledger.Dial(ledger.Config{
		MSPID: cfg.MSPID, CertFile: cfg.Identity.Cert, KeyFile: cfg.Identity.Key, PeerAddress: cfg.Peer.Address, PeerTLSCAFile: cfg.Peer.TLSCA,
		Channel: cfg.Channel, Chaincode: cfg.Chaincode, Log: cfg.Log,
	})
}

// serveHooks takes notifications until ctx ends, and lets those in hand finish.
func (g *rooms) serveHooks(ctx context.Context, l net.Listener) error {
	if g.cfg.Hooks.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(g.cfg.Hooks.TLSCert, g.cfg.Hooks.TLSKey)
		if err != nil {
			return fmt.Errorf("hooks.tls_cert: %w", err)
		}
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}})
	}
	return connlimit.ServeHTTP(ctx, l, g.hooks)
}
