package bench

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/proof"
	"github.com/waybill-dev/waybill/test/lab"
)

const (
	receiptSamples = 100
	proofSamples   = 10
	pushesInBlock  = 5_000 // as many as one segment has
)

// BenchmarkProofs says what a receipt and the proof of one push in a block of 5,000 cost: to make, in bytes, and to
// verify in a process of its own.
func BenchmarkProofs(b *testing.B) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	l := network(ctx, b)
	check(b, l.AddRegistry(ctx, l.Registry, "distribution", lab.Owner))
	check(b, l.StartGateway(ctx, lab.Owner))
	watch, err := follow(ctx, l)
	check(b, err)
	for b.Loop() {
		p := prover{b: b, ctx: ctx, l: l}
		p.receipts()
		p.push(watch)
	}
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

type prover struct {
	b      *testing.B
	ctx    context.Context //nolint:containedctx // of one benchmark
	l      *lab.Lab
	client *api.Client
}

// receipts are of an image with three pieces of evidence, which waits for its approvals.
func (p *prover) receipts() {
	p.b.Helper()
	check(p.b, p.l.PushBlob(p.ctx, "bench/verdict"))
	digest, err := p.l.PushImage(p.ctx, "bench/verdict", "v1", "image")
	check(p.b, err)
	owner, err := p.l.Dial(lab.Owner, "auditor")
	check(p.b, err)
	check(p.b, lab.Poll(p.ctx, time.Minute, func() error {
		_, err := owner.EvaluateOwn(p.ctx, "image:Get", p.l.Registry, "bench/verdict", digest)
		return err
	}))
	check(p.b, errors.Join(owner.Close(), p.l.Settle(p.ctx)))
	check(p.b, withEvidence(p.ctx, p.l, "bench/verdict", digest))
	p.client, err = p.l.API(p.ctx, lab.Owner, "auditor")
	check(p.b, err)
	in := &waybillv1.GetReceiptRequest{Image: p.l.Registry + "/bench/verdict@" + digest, Stage: "production"}
	file := p.measure("receipt", receiptSamples, func() ([]byte, error) {
		r, err := p.client.GetReceipt(p.ctx, in)
		return r.GetFile(), err
	})
	if r := proof.Verify(file, proof.Options{Genesis: p.genesis()}); r.Verdict == nil || r.Verdict.EvidenceSet == "" || len(r.Verdict.Endorsers) != 3 {
		p.b.Errorf("the receipt says %s", r.JSON())
	}
}

// push fills a segment while the gateway is down, so that it is one transaction in one block.
func (p *prover) push(w *watcher) {
	p.b.Helper()
	check(p.b, errors.Join(p.l.StopGateway(lab.Owner), withoutReadBack(p.l)))
	q, err := queue.Open(p.ctx, filepath.Join(p.l.GatewayData(lab.Owner), "queue.db"), queue.Options{Lanes: 8})
	check(p.b, err)
	digest := provenance.SHA256Of([]byte("one of many"))
	for done := 0; done < pushesInBlock; done += perEnvelope {
		batch := make([]delivery.Delivery, perEnvelope)
		for i := range batch {
			name := fmt.Sprintf("many %d", done+i)
			e := provenance.Event{
				ID: provenance.NewEventID("bench", "bench", name), Action: provenance.Push, Source: "distribution", Actor: "ci", OccurredAt: time.Now(),
				Repository: "bench/many", Digest: provenance.SHA256Of([]byte(name)), Tag: provenance.Tag(fmt.Sprintf("t%d", done+i)),
				MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 1187,
			}
			if done+i == pushesInBlock/2 {
				e.Digest = digest
			}
			batch[i] = delivery.Delivery{Host: provenance.Host(p.l.Registry), Connector: "main", Event: e, ReceivedAt: time.Now()}
		}
		_, err := q.Accept(p.ctx, batch)
		check(p.b, err)
	}
	before := w.count.Load()
	check(p.b, errors.Join(q.Close(), p.l.StartGateway(p.ctx, lab.Owner)))
	check(p.b, w.reach(p.ctx, before+pushesInBlock))
	check(p.b, p.l.Settle(p.ctx))
	in := &waybillv1.GetProofRequest{Image: p.l.Registry + "/bench/many@" + digest.String()}
	file := p.measure("proof of a push", proofSamples, func() ([]byte, error) {
		r, err := p.client.GetProof(p.ctx, in)
		return r.GetFile(), err
	})
	r := proof.Verify(file, proof.Options{Genesis: p.genesis()})
	if r.Transaction == nil || !r.Transaction.Valid {
		p.b.Errorf("the proof says %s", r.JSON())
	}
}

func (p *prover) genesis() []byte {
	p.b.Helper()
	raw, err := os.ReadFile(p.l.Clients.Genesis)
	check(p.b, err)
	hash, err := proof.HeaderHash(raw)
	check(p.b, err)
	return hash
}

// measure makes a file some times, verifies the last as often, and returns it.
func (p *prover) measure(what string, samples int, make func() ([]byte, error)) (file []byte) {
	p.b.Helper()
	made := p.timed(samples, func() (err error) {
		file, err = make()
		return err
	})
	path := filepath.Join(p.b.TempDir(), "proof.json")
	check(p.b, os.WriteFile(path, file, 0o600))
	verify := filepath.Join(p.l.Bin, "waybill-verify")
	verified := p.timed(samples, func() error {
		out, err := exec.CommandContext(p.ctx, verify, path, "--genesis", hex.EncodeToString(p.genesis())).CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() >= 10 && exit.ExitCode() <= 13 {
			return nil // the verdict is an answer
		}
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		return err
	})
	parsed, err := proof.Parse(file)
	check(p.b, err)
	blocks := len(parsed.Config)
	parsed.Config = nil
	small := len(parsed.Marshal())
	fmt.Printf("%s: made p50 %.1f ms, p99 %.1f ms (%d samples); verified, whole process, p50 %.1f ms, p99 %.1f ms; %d bytes, and %d for each of %d configuration blocks\n",
		what, made[samples/2], made[samples*99/100], samples, verified[samples/2], verified[samples*99/100], small, (len(file)-small)/blocks, blocks)
	return file
}

// timed returns how many milliseconds each of some runs took, sorted.
func (p *prover) timed(samples int, do func() error) []float64 {
	p.b.Helper()
	check(p.b, do()) // warm
	all := make([]float64, samples)
	for i := range all {
		began := time.Now()
		check(p.b, do())
		all[i] = float64(time.Since(began).Microseconds()) / 1000
	}
	slices.Sort(all)
	return all
}
