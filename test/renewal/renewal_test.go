// Package renewal renews every certificate of a real network while events flow, takes one back, and replaces an
// organisation's authorities.
package renewal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/cert"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/test/lab"
)

var (
	rounds   = flag.Int("renewal.rounds", 1, "how often every certificate is renewed")
	members  = flag.Int("renewal.members", 2, "how many of four organisations renew theirs")
	pause    = flag.Duration("renewal.pause", 0, "after one organisation renewed, before the next does: two orderers that lead one after the other and are restarted at once cost two changes of the leader")
	lifetime = flag.Duration("renewal.lifetime", 10*time.Minute, "how long the new certificates hold")
)

// flow pushes images, one after the other, and knows how many were taken.
type flow struct {
	lab    *lab.Lab
	repo   string
	pushed atomic.Int64
	stop   context.CancelFunc
	ended  chan error
}

func startFlow(ctx context.Context, l *lab.Lab, repo string) *flow {
	flowing, stop := context.WithCancel(ctx)
	f := &flow{lab: l, repo: repo, stop: stop, ended: make(chan error, 1)}
	go func() {
		pace := time.NewTicker(50 * time.Millisecond)
		defer pace.Stop()
		for i := 0; ; i++ {
			select {
			case <-flowing.Done():
				f.ended <- nil
				return
			case <-pace.C:
			}
			// The image in hand is finished: it counts, or it does not exist.
			if _, err := l.PushImage(ctx, repo, fmt.Sprintf("t%d", i%50), fmt.Sprint("image ", i)); err != nil {
				f.ended <- err
				return
			}
			f.pushed.Add(1)
		}
	}()
	return f
}

// check ends the flow and holds the ledger to it: nothing lost, nothing twice.
func (f *flow) check(t *testing.T, ctx context.Context) {
	t.Helper()
	f.stop()
	if err := <-f.ended; err != nil {
		t.Fatal(err)
	}
	want := int(f.pushed.Load())
	var j lab.Journal
	err := lab.Poll(ctx, 3*time.Minute, func() (err error) {
		if j, err = f.lab.ReadJournal(ctx, "security", provenance.Repository(f.repo)); err != nil {
			return err
		}
		if len(j.Images) < want {
			return fmt.Errorf("%d of %d images recorded", len(j.Images), want)
		}
		return nil
	})
	twice := 0
	for _, n := range j.Pushes {
		if n > 1 {
			twice++
		}
	}
	t.Logf("pushed %d, recorded %d images, %d recorded twice, height %d", want, len(j.Images), twice, j.Height)
	if err != nil || twice > 0 || len(j.Images) != want {
		t.Errorf("pushed %d, recorded %d, %d twice: %v\n%s", want, len(j.Images), twice, err, f.lab.Log("gateway-vendor"))
	}
}

// organisation is one of the network's, with what renews its certificates.
type organisation struct {
	*org.Folder
	certs   *cert.Folder
	options cert.Options
}

func organisations(t *testing.T, l *lab.Lab) []organisation {
	t.Helper()
	var all []organisation
	for _, o := range l.Net.Topology().Orgs {
		f, err := l.Net.Org(o.Name)
		if err != nil {
			t.Fatal(err)
		}
		certs, err := cert.Open(f.Dir())
		if err != nil {
			t.Fatal(err)
		}
		options := cert.Live(f, nil)
		options.Lifetime = *lifetime
		options.Step = func(what string) { t.Logf("%s: %s", f.Spec().Name, what) }
		all = append(all, organisation{f, certs, options})
	}
	return all
}

// agree has three of four admins sign what the organisation proposes, and brings it to the orderers. It returns the block that
// brought it into force.
func agree(t *testing.T, ctx context.Context, all []organisation, proposer organisation, change func(channel.Descriptor) channel.Change) uint64 {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(proposer.Dir(), "channel", "proposed.json"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := channel.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	name := proposer.Spec().Channel
	signer := func(o organisation) channel.Signer {
		admin := o.Client().People["admin"]
		s, err := channel.ReadSigner(o.Spec().MSPID, admin.Cert, admin.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	me := proposer.Client()
	member, err := channel.Connect(name, signer(proposer), me.PeerAddress, me.PeerTLSCA)
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close() //nolint:errcheck // the test is over
	config, _, err := member.Current(ctx)
	if err != nil {
		t.Fatal(err)
	}
	to, err := change(d)(config)
	if err != nil {
		t.Fatal(err)
	}
	update, err := channel.Compute(name, config, to)
	if err != nil {
		t.Fatal(err)
	}
	var signatures []*common.ConfigSignature
	for _, o := range all[:3] {
		s, err := signer(o).SignUpdate(update)
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, s)
	}
	// A change that touches an orderer takes it out for a moment: no other may be away meanwhile.
	since := map[string]time.Time{}
	if err := lab.Poll(ctx, 3*time.Minute, func() error {
		down, err := member.Down(ctx, config)
		if err == nil && len(down) > 0 {
			restartStill(t, ctx, all, strings.Join(down, "\n"), since)
			err = fmt.Errorf("%v", down)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	block, err := member.Submit(ctx, config, update, signatures)
	if err != nil {
		for _, o := range all {
			for _, kind := range []string{"orderer", "peer"} {
				log := nodeLog(t, o, kind)
				t.Logf("%s of %s:\n%s", kind, o.Spec().Name, log[max(0, len(log)-3000):])
			}
		}
		t.Fatal(err)
	}
	t.Logf("%s: the channel has it, after %v", proposer.Spec().Name, time.Since(began).Round(time.Millisecond))
	return block
}

// restartStill restarts an orderer that was down or behind for 30 s, as a supervisor does, which there is none of here: the
// pinned SmartBFT can stand still.
func restartStill(t *testing.T, ctx context.Context, all []organisation, down string, since map[string]time.Time) {
	t.Helper()
	for _, o := range all {
		id := o.Spec().MSPID
		if !strings.Contains(down, id+" ") {
			delete(since, id)
			continue
		}
		if since[id].IsZero() {
			since[id] = time.Now()
		}
		if time.Since(since[id]) < 30*time.Second {
			continue
		}
		delete(since, id)
		t.Logf("restarted, since it stood still: %s", down)
		node := o.Spec().Name + "-orderer"
		if err := errors.Join(o.Stop(ctx, node), o.Start(ctx, node)); err != nil {
			t.Error(err)
		}
	}
}

// renewAll renews every certificate of one organisation, its orderer's through the channel.
func renewAll(t *testing.T, ctx context.Context, all []organisation, o organisation) {
	t.Helper()
	done, err := o.certs.Renew(ctx, nil, o.options)
	if err != nil {
		t.Fatalf("%s: %v", o.Spec().Name, err)
	}
	for _, d := range done {
		if d.Name != cert.OrdererEnrolment && d.State != cert.Renewed || d.Name == cert.OrdererEnrolment && d.State != cert.WaitsForVote {
			t.Fatalf("%s: %+v", o.Spec().Name, d)
		}
	}
	agree(t, ctx, all, o, channel.UpdateOrderer)
	if done, err = o.certs.Renew(ctx, []string{cert.OrdererEnrolment}, o.options); err != nil || done[0].State != cert.Renewed {
		t.Fatalf("%s: %+v, %v", o.Spec().Name, done, err)
	}
	if err := o.Ready(ctx); err != nil {
		t.Fatalf("%s does not come back: %v", o.Spec().Name, err)
	}
}

func TestRenewals(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole network")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*rounds+2)*10*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	if err := l.StartGateway(ctx, "vendor"); err != nil {
		t.Fatalf("%v\n%s", err, l.Log("gateway-vendor"))
	}
	if err := l.AddRegistry(ctx, l.Registry, "distribution", lab.Owner); err != nil {
		t.Fatal(err)
	}
	for _, repo := range []string{"renewal/flow", "renewal/roots"} {
		if err := l.PushBlob(ctx, repo); err != nil {
			t.Fatal(err)
		}
	}
	all := organisations(t, l)
	f := startFlow(ctx, l, "renewal/flow")
	able := startActing(t, ctx, l, all)
	pid := l.GatewayPID("vendor")
	var ended []time.Time // when everybody was renewed for the n-th time
	round := func() {
		t.Helper()
		for _, o := range all[:*members] {
			began := time.Now()
			renewAll(t, ctx, all, o)
			t.Logf("round %d: %s renewed in %v, %d pushed", len(ended)+1, o.Spec().Name, time.Since(began).Round(time.Second), f.pushed.Load())
			time.Sleep(*pause)
		}
		ended = append(ended, time.Now())
	}
	for range *rounds {
		round()
	}
	gatewayHasThem(t, ctx, l, all[0])
	monitored(t, ctx, all[0])
	if *rounds > 2 {
		// By then nothing that came before the last two rounds holds: whoever still used it would be noticed.
		past := time.Until(ended[*rounds-3].Add(*lifetime))
		t.Logf("events flow on for %v", past.Round(time.Second))
		time.Sleep(past)
		for i := range all { // for what follows
			all[i].options.Lifetime = time.Hour
		}
		round()
	}
	able()
	f.check(t, ctx)
	if l.GatewayPID("vendor") != pid {
		t.Error("the gateway was restarted")
	}
	t.Run("Revoked", func(t *testing.T) { revoked(t, ctx, l, all) })
	t.Run("RollOver", func(t *testing.T) { rollOver(t, ctx, l, all) })
}

// gatewayHasThem compares what the gateway says of its certificates with the folder.
func gatewayHasThem(t *testing.T, ctx context.Context, l *lab.Lab, o organisation) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.Spec().Listen.GatewayMetrics+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = lab.Poll(ctx, 30*time.Second, func() error {
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close() //nolint:errcheck // it was only read from
		left := map[string]float64{}
		for use, value := range certificateMetrics(response.Body) {
			left[use] = value
		}
		for _, use := range []string{"gateway-api", "gateway-identity", "orderer"} {
			if s, ok := left[use]; !ok || s > lifetime.Seconds() || s < -lifetime.Seconds() {
				return fmt.Errorf("%s has %v seconds left, said: %v", use, s, ok)
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("%v\n%s", err, l.Log("gateway-vendor"))
	}
	if out, code := l.Waybill(ctx, "status", "--as", "vendor/admin"); code != 0 || *lifetime < 3*time.Minute && !strings.Contains(out, "certificate ends") {
		t.Errorf("status: exit %d, %s", code, out)
	}
}

// rollOver replaces the authorities of one organisation while events flow. The others do nothing but vote.
func rollOver(t *testing.T, ctx context.Context, l *lab.Lab, all []organisation) {
	vendor := all[0]
	f := startFlow(ctx, l, "renewal/roots")
	able := startActing(t, ctx, l, all)
	since := map[string]int{}
	for _, o := range all[1:] {
		since[o.Spec().Name] = len(nodeLog(t, o, "orderer"))
	}
	step := func(want cert.Stage) {
		t.Helper()
		p, err := vendor.certs.RollOver(ctx, vendor.Spec().MSPID, vendor.options)
		if err != nil || p.Stage != want {
			t.Fatalf("got %+v, %v, want %s", p, err, want)
		}
		if err := vendor.Ready(ctx); err != nil {
			t.Fatalf("after %q: %v", want, err)
		}
	}
	step(cert.Introduced)
	agree(t, ctx, all, vendor, channel.UpdateOrg)
	step(cert.Issuing)
	renewAll(t, ctx, all, vendor)
	step(cert.Leaving)
	agree(t, ctx, all, vendor, channel.UpdateOrg)
	step(cert.Finished)
	able()
	for _, o := range all[1:] {
		if log := nodeLog(t, o, "orderer")[since[o.Spec().Name]:]; strings.Contains(log, "unknown authority") {
			t.Errorf("the orderer of %s does not believe the renewed one, and would have to be restarted:\n%.2000s", o.Spec().Name, log)
		}
	}
	f.check(t, ctx)
	for _, o := range all {
		if err := o.Ready(ctx); err != nil {
			t.Errorf("%s: %v", o.Spec().Name, err)
		}
	}
	if out, code := l.Waybill(ctx, "status", "--as", "vendor/admin"); code != 0 {
		t.Errorf("status: exit %d, %s", code, out)
	}
}

func nodeLog(t *testing.T, o organisation, kind string) string {
	t.Helper()
	log, err := os.ReadFile(o.LogPath(o.Spec().Name + "-" + kind))
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}
