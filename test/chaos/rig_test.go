package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/lab"
)

const (
	lanes   = 4
	witness = "security" // a second organisation, whose gateway follows only
	workers = 3          // pushers, and twice as many senders
)

// rig is everything of one run.
type rig struct {
	t       *testing.T
	lab     *lab.Lab
	proxy   *proxy
	breaker *breaker
	pushers *pushers
	senders []*sender
	seed    uint64

	twin      *twin
	twinEvery time.Duration
}

// start brings everything up; prepare may change the programs before any gateway runs.
func start(t *testing.T, ctx context.Context, seed uint64, prepare func(context.Context, *lab.Lab) error) *rig {
	t.Helper()
	l := lab.For(ctx, t)
	r := &rig{t: t, lab: l, seed: seed, twinEvery: 3 * time.Second, pushers: &pushers{lab: l, seed: seed}, breaker: &breaker{lab: l, gateways: []string{lab.Owner, witness}, say: t.Logf}}
	if err := r.configure(ctx); err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		if err := prepare(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	for _, org := range r.breaker.gateways {
		if err := l.StartGateway(ctx, org); err != nil {
			t.Fatalf("%v\n%s", err, l.Log("gateway-"+org))
		}
	}
	for _, host := range []string{l.Registry, mirrorHost} {
		if err := l.AddRegistry(ctx, host, "distribution", lab.Owner); err != nil {
			t.Fatal(err)
		}
	}
	for i := range pushRepos {
		if err := l.PushBlob(ctx, fmt.Sprint("chaos/app", i)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 2 * workers {
		r.senders = append(r.senders, newSender(r.proxy, seed, n))
	}
	r.twin = &twin{lab: l, rng: rand.New(rand.NewPCG(seed, 3))}
	return r
}

// configure gives the owner's gateway the mirror, a queue that fills up, a
// sweep that does not take long, and a proxy before its hooks.
func (r *rig) configure(ctx context.Context) error {
	path := r.lab.GatewayConfig(lab.Owner)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	secret := regexp.MustCompile(`secret_files: \[[^\]]*\]`).FindString(string(b))
	text := strings.Replace(string(b), "connectors:\n", fmt.Sprintf("connectors:\n  - {name: %s, kind: distribution, host: %q, %s}\n", mirrorConnector, mirrorHost, secret), 1)
	text = strings.Replace(text, "registries:\n", fmt.Sprintf("registries:\n  - {host: %q, read_back: false}\n", mirrorHost), 1)
	text += fmt.Sprintf("\nqueue: {lanes: %d, max_pending: 150, connector_share: 80}\nsweep: {rate: 500, grace: 3s}\n", lanes)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	target := strings.TrimSuffix(r.lab.HookURL(), "/hooks/"+mainConnector)
	if r.proxy, err = startProxy(ctx, target, map[string]string{mainConnector: r.lab.Registry, mirrorConnector: mirrorHost}, r.seed); err != nil {
		return err
	}
	r.t.Cleanup(func() { _ = r.proxy.close() })
	if err := r.lab.SendHookTo(r.proxy.url + "/hooks/" + mainConnector); err != nil {
		return err
	}
	return errors.Join(r.lab.KillRegistry(), r.lab.StartRegistry(ctx))
}

func (r *rig) orgs() []string {
	var out []string
	for _, o := range r.lab.Net.Topology().Orgs {
		out = append(out, o.Name)
	}
	return out
}

// traffic sends, pushes and breaks for length, and until enough is accepted.
// When it returns every sender has its answers, and all is healed.
func (r *rig) traffic(ctx context.Context, plan []strike, length time.Duration, events int) error {
	r.breaker.plan = plan
	began := time.Now()
	over := func() bool {
		spent := time.Since(began)
		return spent >= length && r.proxy.accepted() >= events || spent > length+graceToSend
	}
	r.breaker.progress = r.progress(began, events)
	// 15 of 100 events are real pushes; an envelope of a sender has four on average.
	images, envelopes := events*15/100/workers, events*85/100/4/len(r.senders)
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range r.senders {
		group.Go(func() error { return s.run(ctx, over, length/time.Duration(envelopes+1)) })
	}
	for n := range workers {
		group.Go(func() error { return r.pushers.run(ctx, fmt.Sprint("p", n), over, length/time.Duration(images+1)) })
	}
	group.Go(func() error { return r.twin.run(ctx, over, r.twinEvery) })
	group.Go(func() error {
		err := r.breaker.run(ctx, over)
		r.proxy.heal()
		return err
	})
	return group.Wait()
}

// progress prints how far the run is, and where it stands still what explains it.
func (r *rig) progress(began time.Time, events int) func(down string) {
	most, moved := 0, time.Now()
	return func(down string) {
		accepted := r.proxy.accepted()
		r.t.Logf("%s: accepted %d of %d, pushed %d, %d strikes; down: %s", time.Since(began).Round(time.Second), accepted, events, len(r.pushers.keys()), len(r.breaker.done), down)
		if accepted > most {
			most, moved = accepted, time.Now()
		} else if time.Since(moved) > time.Minute {
			r.t.Logf("nothing was accepted for a minute\n%s", troubles(context.WithoutCancel(r.t.Context()), r.lab, r.breaker.gateways))
			moved = time.Now()
		}
	}
}

// rest waits until the registry has told what it still knows, and everything
// that was accepted has come to its end. It returns the height of the ledger.
func (r *rig) rest(ctx context.Context) (uint64, error) {
	if err := lab.Poll(ctx, 2*time.Minute, func() error {
		if r.proxy.idle() < 8*time.Second {
			return errors.New("the registry still sends")
		}
		return nil
	}); err != nil {
		return 0, err
	}
	return r.settled(ctx)
}

// calm waits for rest; then a sweep looks, twice, and the gateways are stopped.
// It returns the height that the ledger had before the sweep.
func (r *rig) calm(ctx context.Context) (before uint64, err error) {
	if before, err = r.rest(ctx); err != nil {
		return 0, err
	}
	first, err := r.sweep(ctx)
	if err != nil {
		return 0, err
	}
	r.t.Logf("the sweep found %s", counts(first))
	if _, err := r.settled(ctx); err != nil {
		return 0, err
	}
	second, err := r.sweep(ctx)
	if err != nil {
		return 0, err
	}
	if len(second) > 0 {
		r.t.Errorf("a second sweep finds %s", counts(second))
	}
	if _, err := r.settled(ctx); err != nil {
		return 0, err
	}
	return before, r.stop()
}

// stop ends the gateways in order.
func (r *rig) stop() error {
	for _, org := range r.breaker.gateways {
		if err := r.lab.StopGateway(org); err != nil {
			return err
		}
	}
	return nil
}

// sweep returns how many differences of each kind a sweep has found.
func (r *rig) sweep(ctx context.Context) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	out, code := r.lab.Waybill(ctx, "sweep", r.lab.Registry, "--as", lab.Owner+"/admin", "-o", "json")
	if code != 0 {
		return nil, fmt.Errorf("sweep: exit %d: %s", code, out)
	}
	var answer struct {
		Registries []struct {
			Last struct {
				Counts []struct {
					Kind  string `json:"kind"`
					Count int    `json:"count"`
				} `json:"counts"`
			} `json:"last"`
		} `json:"registries"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return nil, fmt.Errorf("read the sweep's answer: %w: %s", err, out)
	}
	if len(answer.Registries) != 1 {
		return nil, fmt.Errorf("the sweep of one registry tells of another number: %s", out)
	}
	found := map[string]int{}
	for _, c := range answer.Registries[0].Last.Counts {
		found[c.Kind] += c.Count
	}
	return found, nil
}

// settled waits until no queue holds anything and every index is level with
// all peers, at two looks three seconds apart, and returns the height.
func (r *rig) settled(ctx context.Context) (uint64, error) {
	var height uint64
	var since time.Time
	err := lab.Poll(ctx, 3*time.Minute, func() error {
		now, err := r.level(ctx)
		if err != nil || now != height || since.IsZero() {
			height, since = now, time.Now()
			return errors.Join(err, fmt.Errorf("height %d just now", now))
		}
		if time.Since(since) < 3*time.Second {
			return fmt.Errorf("height %d for %s", now, time.Since(since))
		}
		return nil
	})
	return height, err
}

func (r *rig) level(ctx context.Context) (uint64, error) {
	if err := r.lab.Settle(ctx); err != nil {
		return 0, err
	}
	var height uint64
	for _, org := range r.breaker.gateways {
		o, err := r.lab.Clients.Org(org)
		if err != nil {
			return 0, err
		}
		keys := o.People["auditor"]
		c, err := api.Dial(ctx, api.ClientConfig{Address: o.GatewayAddress, CAFile: o.GatewayTLSCA, CertFile: keys.Cert, KeyFile: keys.Key})
		if err != nil {
			return 0, err
		}
		s, err := c.GetStatus(ctx)
		if err := errors.Join(err, c.Close()); err != nil {
			return 0, fmt.Errorf("gateway of %s: %w", org, err)
		}
		if q := s.GetQueue(); q.GetPending()+q.GetSealed() > 0 {
			return 0, fmt.Errorf("queue of %s: %d pending, %d sealed: %s", org, q.GetPending(), q.GetSealed(), s.GetWaitingReason())
		}
		height = max(height, s.GetHeight())
	}
	return height, nil
}

// judgement reads everything; the gateways have ended.
func (r *rig) judgement(ctx context.Context) (check.Run, error) {
	run := check.Run{History: r.proxy.history(r.pushers.keys()), Swept: true}
	for _, s := range r.senders {
		run.History.Promised = append(run.History.Promised, s.told...)
	}
	run.History.Promised = append(run.History.Promised, r.twin.stands...)
	run.History.Open = append(run.History.Open, r.twin.unsure...)
	height, err := r.height(ctx)
	if err != nil {
		return run, err
	}
	for _, o := range r.lab.Net.Topology().Orgs {
		p, err := readPeer(ctx, r.lab, o.Name, height)
		if err != nil {
			return run, err
		}
		run.Peers = append(run.Peers, p)
	}
	outbox, err := check.ReadOutbox(ctx, filepath.Join(r.lab.GatewayData(lab.Owner), "queue.db"), lab.Owner, lanes)
	if err != nil {
		return run, err
	}
	run.Outboxes = append(run.Outboxes, outbox)
	for _, org := range r.breaker.gateways {
		x, err := readIndex(ctx, r.lab, org, places(run))
		if err != nil {
			return run, err
		}
		run.Indexes = append(run.Indexes, x)
	}
	return run, nil
}

// height is the highest that any peer has.
func (r *rig) height(ctx context.Context) (most uint64, err error) {
	for _, o := range r.lab.Net.Topology().Orgs {
		c, err := r.lab.Dial(o.Name, "auditor")
		if err != nil {
			return 0, err
		}
		h, err := c.Height(ctx)
		if err := errors.Join(err, c.Close()); err != nil {
			return 0, err
		}
		most = max(most, h)
	}
	return most, nil
}

// busyEnough finds runs in which nothing happened that could have gone wrong.
func (r *rig) busyEnough() {
	for _, death := range r.breaker.died {
		r.t.Error(death)
	}
	if *chaosEvents < 5000 || *chaosLength < 3*time.Minute {
		r.t.Log("so short a run is not asked whether enough happened in it")
		return
	}
	for _, what := range []string{string(droppedBefore), string(droppedAfter), string(doubled), string(delayed), string(swallowed), string(late), "no answer", "unusable", "status 503"} {
		if r.proxy.counted(what) == 0 {
			r.t.Errorf("too calm: nothing was ever %q", what)
		}
	}
	for _, kind := range []string{"gateway", "registry", "peer", "orderer", "chaincode"} {
		if !slices.ContainsFunc(r.breaker.done, func(s strike) bool { return s.kills(kind) }) {
			r.t.Errorf("too calm: no %s was killed", kind)
		}
	}
}

// places are the repositories that anybody speaks of.
func places(run check.Run) [][2]string {
	seen := map[[2]string]bool{}
	add := func(key string) {
		if words := strings.Split(key, " "); len(words) > 2 {
			seen[[2]string{words[1], words[2]}] = true
		}
	}
	for _, c := range slices.Concat(run.History.Promised, run.History.Open, run.History.Refused, run.History.Unheard) {
		add(c.Key)
	}
	for _, b := range run.Peers[0].Blocks {
		for _, tx := range b.Txs {
			for _, e := range tx.Events {
				add(e.Key)
			}
		}
	}
	var out [][2]string
	for p := range seen {
		out = append(out, p)
	}
	return out
}
