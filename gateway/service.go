package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/autorelease"
	"github.com/waybill-dev/waybill/gateway/clock"
	"github.com/waybill-dev/waybill/gateway/collect"
	"github.com/waybill-dev/waybill/gateway/connlimit"
	"github.com/waybill-dev/waybill/gateway/follow"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/keypair"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/metrics"
	"github.com/waybill-dev/waybill/gateway/proofs"
	"github.com/waybill-dev/waybill/gateway/pullclients"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/sweep"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

// service is the parts of a running gateway.
type service struct {
	cfg       Config
	queue     *queue.Queue
	index     *index.Index
	ledger    *ledger.Client
	hooks     *intake.Handler
	api       *api.Server
	recorder  *record.Recorder
	clients   *pullclients.Store
	retention *pullclients.Retention
	follower  *follow.Follower
	worker    *tasks.Worker
	batches   *collect.Batches
	releaser  *autorelease.Releaser // nil: switched off
	ticker    *clock.Ticker
	sweeper   *sweep.Sweeper
	metrics   *metrics.Metrics
	apiPair   *keypair.Pair
	hooksPair *keypair.Pair // nil: notifications come without TLS
}

// open opens everything and starts nothing. A missing database is an error:
// an empty disk is not a new gateway.
func open(ctx context.Context, cfg Config) (g *service, err error) {
	g = &service{cfg: cfg}
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
	if g.apiPair, err = keypair.Load(cfg.API.TLSCert, cfg.API.TLSKey); err != nil {
		return g, fmt.Errorf("api.tls_cert: %w", err)
	}
	if cfg.Hooks.TLSCert != "" {
		if g.hooksPair, err = keypair.Load(cfg.Hooks.TLSCert, cfg.Hooks.TLSKey); err != nil {
			return g, fmt.Errorf("hooks.tls_cert: %w", err)
		}
	}
	clients, err := openRegistries(cfg)
	if err != nil {
		return g, err
	}
	g.metrics = metrics.New(g.queue)
	g.recorder = g.newRecorder(clients)
	g.clients = &pullclients.Store{Queue: g.queue, Ledger: g.ledger, Waits: &g.recorder.Waits, Log: cfg.Log, Woken: make(chan struct{}, 1)}
	g.recorder.OnHidden = g.clients.Wake
	if g.retention, err = g.newRetainer(); err != nil {
		return g, err
	}
	watcher := g.newWatcher(clients)
	g.metrics.Certificates(g.certificates)
	g.follower = &follow.Follower{Ledger: g.ledger, Index: g.index, Watcher: watcher, Log: cfg.Log}
	if g.sweeper, err = g.newSweeper(clients); err != nil {
		return g, err
	}
	connectors, err := g.openHooks(clients)
	if err != nil {
		return g, err
	}
	g.api, err = api.New(api.Config{ //nolint:contextcheck // each request brings its own context
		Org: cfg.MSPID, Version: cfg.Version, Channel: cfg.Channel, Certificate: g.apiPair.Get, Certificates: g.certificates, AnonymousReads: cfg.API.AnonymousReads,
		Index: readModel{g.index}, Queue: tasks.DeadLetters{Queue: g.queue}, Unusable: g.queue, Proofs: g.newMaker(), Sweeps: g.sweeper, Connectors: connectors, Clients: pullclients.Lookup{Ledger: g.ledger}, Organisations: g.follower.Members, Freshness: g.freshness, Log: cfg.Log, Observe: g.metrics.Call,
	})
	return g, err
}

func (g *service) close() error {
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

func (g *service) freshness() readmodel.Freshness {
	f := g.follower.Freshness()
	f.Waiting = g.recorder.State().Reason
	return f
}

// newMaker makes what answers with files that are checked elsewhere.
func (g *service) newMaker() *proofs.Maker {
	return &proofs.Maker{
		Attester: g.ledger, Chain: g.ledger, Channel: g.cfg.Channel, Chaincode: g.cfg.Chaincode, Organisations: g.follower.Members, Log: g.cfg.Log, Now: time.Now,
	}
}

func dial(cfg Config) (*ledger.Client, error) {
	return ledger.Dial(ledger.Config{
		MSPID: cfg.MSPID, CertFile: cfg.Identity.Cert, KeyFile: cfg.Identity.Key, PeerAddress: cfg.Peer.Address, PeerTLSCAFile: cfg.Peer.TLSCA,
		Channel: cfg.Channel, Chaincode: cfg.Chaincode, After: ledger.After(cfg.After), Log: cfg.Log,
	})
}

// serveHooks takes notifications until ctx ends, and lets those in hand finish.
func (g *service) serveHooks(ctx context.Context, l net.Listener) error {
	if g.hooksPair != nil {
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: g.hooksPair.Get})
	}
	return connlimit.ServeHTTP(ctx, l, g.hooks)
}
