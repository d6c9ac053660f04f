package gateway

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/autorelease"
	"github.com/waybill-dev/waybill/gateway/clock"
	"github.com/waybill-dev/waybill/gateway/collect"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/metrics"
	"github.com/waybill-dev/waybill/gateway/prove"
	"github.com/waybill-dev/waybill/gateway/pullclients"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/sweep"
	"github.com/waybill-dev/waybill/gateway/tasks"
	"github.com/waybill-dev/waybill/gateway/witness"
)

func readConnectors(cfg Config) ([]intake.Connector, error) {
	var out []intake.Connector
	pulls := map[provenance.Host]string{}
	for _, r := range cfg.Registries {
		host, err := provenance.ParseHost(r.Host)
		if err != nil {
			return nil, err
		}
		pulls[host] = r.Pulls
	}
	for _, c := range cfg.Connectors {
		host, err := provenance.ParseHost(c.Host)
		if err != nil {
			return nil, err
		}
		connector := intake.Connector{
			Name: c.Name, Kind: c.Kind, Host: host, Repositories: c.Repositories, OwnActor: c.OwnActor, Origins: c.Origins, Prefixes: named(c.Prefixes), TypePrefix: c.TypePrefix,
			Pulls: pulls[host],
			OIDC:  intake.OIDC{Issuers: c.OIDC.Issuers, Audience: c.OIDC.Audience, Claims: named(c.OIDC.Claims)},
		}
		if c.OIDC.KeysFile != "" {
			connector.OIDC.Keys = func() ([]byte, error) { return os.ReadFile(c.OIDC.KeysFile) }
		}
		for _, file := range c.SecretFiles {
			b, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("connector %s: %w", c.Name, err)
			}
			connector.Secrets = append(connector.Secrets, []byte(strings.TrimSpace(string(b))))
		}
		out = append(out, connector)
	}
	return out, nil
}

// childrenIn asks the index what a recorded index image holds.
func childrenIn(x *index.Index) intake.Children {
	return func(ctx context.Context, host provenance.Host, repo provenance.Repository, d provenance.Digest) (children []provenance.Digest, err error) {
		err = x.View(ctx, func(s *index.Snapshot) error {
			var place state.Place
			_, err := state.Read(s, state.PlaceKey(d, host, repo), &place)
			children = place.Children
			return err
		})
		return children, err
	}
}

// named returns nil for an empty list: a setting that is not there.
func named(list []NamedValue) map[string]string {
	if len(list) == 0 {
		return nil
	}
	out := make(map[string]string, len(list))
	for _, v := range list {
		out[v.Name] = v.Value
	}
	return out
}

// newRecorder gives the loop its registries. One that is not read back has a
// nil reader: its events are recorded as claimed.
func (g *service) newRecorder(clients registries) *record.Recorder {
	readers := func(host provenance.Host) (record.Registry, bool) {
		c, ok := clients[host]
		if !c.readBack {
			return nil, ok
		}
		return c.client, true
	}
	recorded := func(events int, took time.Duration) {
		g.metrics.Recorded.Add(float64(events))
		if took > 0 {
			g.metrics.Segments.Observe(took.Seconds())
		}
	}
	return &record.Recorder{
		Queue: g.queue, Ledger: g.ledger, Readers: readers, Log: g.cfg.Log, OnRecorded: recorded, OnContradicted: g.contradicted, OwnerElsewhere: g.elsewhere,
		OnUnproven: func(ctx context.Context, host provenance.Host, events []provenance.Event, read map[provenance.Digest][]byte) {
			g.addTasks(ctx, tasks.Unproven(host, events, read))
		},
	}
}

// addTasks takes tasks that no block asked for. What fails is found again by the
// next sweep.
func (g *service) addTasks(ctx context.Context, all []tasks.Task) {
	if err := g.queue.Tasks().Add(ctx, all); err != nil {
		g.cfg.Log.WarnContext(ctx, "tasks are not noted; a sweep finds them again", slog.Any("error", err))
	}
}

// elsewhere returns the other organisation that a repository belongs to, if any.
func (g *service) elsewhere(ctx context.Context, host provenance.Host, repo provenance.Repository) (owner string) {
	err := g.index.View(ctx, func(s *index.Snapshot) error {
		var record state.Registry
		if found, err := state.Read(s, state.RegistryKey(host), &record); err != nil || !found {
			return err
		}
		if claim, ok := record.Claim(repo); ok && claim.Owner != g.cfg.MSPID {
			owner = claim.Owner
		}
		return nil
	})
	if err != nil {
		return "" // then it waits: nothing is set aside on a guess
	}
	return owner
}

// contradicted records what is true where a tag was said to be deleted and names
// an image: a push, unless the ledger knows it. Should the queue be full, the
// next sweep finds it.
func (g *service) contradicted(ctx context.Context, it queue.Item, named provenance.Digest) {
	var tag state.Tag
	err := g.index.View(ctx, func(s *index.Snapshot) error {
		_, err := state.Read(s, state.TagKey(it.Host, it.Event.Repository, it.Event.Tag), &tag)
		return err
	})
	if err != nil || tag.Digest == named {
		return
	}
	if _, err := g.queue.Accept(ctx, []delivery.Delivery{namedInstead(it, named)}); err != nil {
		g.cfg.Log.WarnContext(ctx, "what a tag names is not recorded; the next sweep finds it", slog.String("registry", string(it.Host)),
			slog.String("repository", string(it.Event.Repository)), slog.String("tag", string(it.Event.Tag)), slog.Any("error", err))
	}
}

// namedInstead is the push that a look found in the place of a tag's deletion. It
// is read back like any other.
func namedInstead(it queue.Item, named provenance.Digest) delivery.Delivery {
	e := provenance.Event{
		Action: provenance.Push, Source: sweep.Source, Repository: it.Event.Repository, Tag: it.Event.Tag, Digest: named, OccurredAt: it.Event.OccurredAt,
		ID: provenance.NewEventID(sweep.Source, sweep.Source, "instead", it.Event.ID.String(), named.String()),
	}
	return delivery.Delivery{Host: it.Host, Connector: sweep.Source, Event: e, BodyHash: sha256.Sum256(e.ID[:]), ReceivedAt: it.ReceivedAt}
}

// newWatcher makes the loops that act by themselves, and what reads off blocks
// for them.
func (g *service) newWatcher(clients registries) *tasks.Watcher {
	view := func(ctx context.Context, read func(state.Scanner) error) error {
		return g.index.View(ctx, func(s *index.Snapshot) error { return read(s) })
	}
	var trust atomic.Uint64
	watcher := &tasks.Watcher{
		MSP: g.cfg.MSPID, Collect: on(g.cfg.Collect), Witness: g.cfg.Witness, List: g.queue.Tasks(), Trust: func() { trust.Add(1) },
	}
	g.batches = &collect.Batches{Ledger: g.ledger}
	collect := &collect.Collector{
		View: view, Batches: g.batches, TrustVersion: trust.Load, Log: g.cfg.Log, Count: metrics.Counted(g.metrics.Evidence), Now: time.Now,
		Registries: func(host provenance.Host) (collect.Registry, bool) {
			c := clients[host]
			return c.client, c.client != nil
		},
	}
	witness := &witness.Witness{
		MSP: g.cfg.MSPID, View: view, Ledger: g.ledger, Log: g.cfg.Log, Count: metrics.Counted(g.metrics.Witness), Attempts: tasks.DefaultLimits().Attempts,
		Registries: func(host provenance.Host) (witness.Registry, bool) {
			c := clients[host]
			return c.client, c.client != nil
		},
	}
	prove := &prove.Prover{
		View: view, Ledger: g.ledger, Log: g.cfg.Log, Count: metrics.Counted(g.metrics.Proven),
		Registries: func(host provenance.Host) (prove.Registry, bool) {
			c := clients[host]
			return c.client, c.client != nil && c.readBack
		},
	}
	g.ticker = &clock.Ticker{
		MSP: g.cfg.MSPID, View: view, Ledger: g.ledger, Waits: &g.recorder.Waits, Log: g.cfg.Log, Count: metrics.Counted(g.metrics.ClockTicks), Now: time.Now,
		Behind: func(d time.Duration) { g.metrics.ClockAge.Set(d.Seconds()) },
	}
	g.worker = &tasks.Worker{List: g.queue.Tasks(), Log: g.cfg.Log, Do: map[string]func(context.Context, tasks.Task) ([]tasks.Task, error){tasks.Collect: collect.Do, tasks.Witness: witness.Do, tasks.Prove: prove.Do}}
	if on(g.cfg.AutoRelease) {
		g.releaser = &autorelease.Releaser{
			MSP: g.cfg.MSPID, Ledger: g.ledger, Log: g.cfg.Log, Count: metrics.Counted(g.metrics.Releases), Now: time.Now, Woken: make(chan struct{}, 1),
			View: func(ctx context.Context, read func(autorelease.Index) error) error {
				return g.index.View(ctx, func(s *index.Snapshot) error { return read(s) })
			},
		}
		watcher.Looked = g.releaser.Wake
	}
	return watcher
}

// on is a switch whose default is on.
func on(b *bool) bool { return b == nil || *b }

// registries are the configured registries by host.
type registries map[provenance.Host]configured

type configured struct {
	client   *registry.Client
	readBack bool
}

// openRegistries makes a client of each registry.
func openRegistries(cfg Config) (registries, error) {
	clients := registries{}
	for _, r := range cfg.Registries {
		host, err := provenance.ParseHost(r.Host)
		if err != nil {
			return nil, err
		}
		blobs := make([]provenance.Host, len(r.BlobHosts))
		for i, h := range r.BlobHosts {
			blobs[i] = provenance.Host(h)
		}
		client, err := registry.New(registry.Config{
			Host: host, Insecure: r.Insecure, AllowPrivate: r.AllowPrivate, Username: r.Username, PasswordFile: r.PasswordFile,
			UserAgent: registry.UserAgent, Timeout: r.Timeout, TokenHost: provenance.Host(r.TokenHost), BlobHosts: blobs, CAFile: r.CAFile,
		})
		if err != nil {
			return nil, err
		}
		clients[host] = configured{client: client, readBack: on(r.ReadBack)}
	}
	return clients, nil
}

// newRetainer makes the loop that purges the clients of old pulls.
func (g *service) newRetainer() (*pullclients.Retention, error) {
	keep := map[provenance.Host]time.Duration{}
	for _, reg := range g.cfg.Registries {
		if reg.KeepClients > 0 {
			host, err := provenance.ParseHost(reg.Host)
			if err != nil {
				return nil, err
			}
			keep[host] = reg.KeepClients
		}
	}
	return pullclients.NewRetention(pullclients.Retention{
		Index: g.index, Ledger: g.ledger, Waits: &g.recorder.Waits, Log: g.cfg.Log, MSP: g.cfg.MSPID, Path: filepath.Join(g.cfg.DataDir, pullclients.RetentionFile),
		Keep: keep, Purged: g.metrics.Purged.Inc,
	})
}
