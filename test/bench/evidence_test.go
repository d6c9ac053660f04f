package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/test/lab"
)

const (
	collectedImages = 1_000 // with four pieces each; twice as many from the registry in memory
	laneImages      = 3_200
	laneBatch       = 256 // pieces in a transaction
	lanesOut        = 4   // transactions under way at once
	signedRepos     = 16
)

// BenchmarkEvidence measures signed evidence: through the ledger lane alone, and from
// pushes in the queue through a real registry and the collector onto the ledger.
func BenchmarkEvidence(b *testing.B) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	l := network(ctx, b)
	s := &signing{l: l, blobs: map[provenance.Digest]bool{}}
	light, err := serveInMemory(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.prepare(ctx, light); err != nil {
		b.Fatalf("%v\n%s", err, l.Log("gateway-vendor"))
	}
	for b.Loop() {
		s.measure(b, ctx, light)
	}
}

func (s *signing) measure(b *testing.B, ctx context.Context, light *inMemory) {
	b.Helper()
	seen, err := followEvidence(ctx, s.l)
	if err != nil {
		b.Fatal(err)
	}
	m := &meter{l: s.l}
	phase := func(name string, n int, run func() (float64, error)) (float64, string) {
		b.Helper()
		if err := m.start(ctx); err != nil {
			b.Fatal(err)
		}
		rate, err := run()
		if err != nil {
			b.Fatalf("%s: %v\n%s", name, err, s.l.Log("gateway-vendor"))
		}
		shares, err := m.shares(ctx)
		if err != nil {
			b.Fatal(err)
		}
		each, err := m.each(ctx, n)
		if err != nil {
			b.Fatal(err)
		}
		return rate, shares + "; of each: " + each
	}
	raw, rawShares := phase("raw", rawTransactions+200, func() (float64, error) { return rawRate(ctx, s.l) })
	lane, err := s.images(ctx, laneImages, nowhere)
	if err == nil {
		err = s.recordPushes(ctx, lane)
	}
	if err != nil {
		b.Fatal(err)
	}
	ledgerLane, laneShares := phase("ledger lane", 4*laneImages, func() (float64, error) { return s.lane(ctx, m, seen, lane) })
	collect := func(from *inMemory, as layout) (float64, string) {
		n := collectedImages
		if s.light = from; from != nil {
			n *= 2
		}
		pushed, err := s.images(ctx, n, as)
		if err != nil {
			b.Fatal(err)
		}
		defer func() {
			if err := s.l.StopGateway(lab.Owner); err != nil {
				b.Error(err)
			}
		}()
		return phase("collector", 4*n, func() (float64, error) { return s.collect(ctx, m, seen, pushed) })
	}
	collected, collectedShares := collect(nil, referrers)
	together, togetherShares := collect(nil, attached)
	lightly, lightlyShares := collect(light, referrers)
	lightlyTogether, lightlyTogetherShares := collect(light, attached)
	b.ReportMetric(raw, "raw-tx/s")
	b.ReportMetric(ledgerLane, "lane-pieces/s")
	b.ReportMetric(collected, "collected-pieces/s")
	b.ReportMetric(together, "collected-together-pieces/s")
	b.ReportMetric(lightly, "in-memory-pieces/s")
	b.ReportMetric(lightlyTogether, "in-memory-together-pieces/s")
	fmt.Printf(`
raw Fabric, one small key per transaction         %8.0f tx/s            [%s]
signed pieces, batches of %d, to final           %8.0f /s  = %4.1f × raw [%s]
signed pieces, push in the queue to final         %8.0f /s  = %4.1f × raw [%s]
the same, four in one artifact (cosign's .att)    %8.0f /s  = %4.1f × raw [%s]
registry in memory, from the queue to final       %8.0f /s  = %4.1f × raw [%s]
the same, four in one artifact                    %8.0f /s  = %4.1f × raw [%s]
`, raw, rawShares, laneBatch, ledgerLane, ledgerLane/raw, laneShares, collected, collected/raw, collectedShares,
		together, together/raw, togetherShares, lightly, lightly/raw, lightlyShares, lightlyTogether, lightlyTogether/raw, lightlyTogetherShares)
}

// recordPushes records images by their digests alone, and stops the gateway.
func (s *signing) recordPushes(ctx context.Context, images []signedImage) error {
	w, err := follow(ctx, s.l)
	if err != nil {
		return err
	}
	if err := filling(ctx, s.l, func(q *queue.Queue) error { return s.fill(ctx, q, unread, images) }); err != nil {
		return err
	}
	if err := s.l.StartGateway(ctx, lab.Owner); err != nil {
		return err
	}
	if err := w.reach(ctx, int64(len(images))); err != nil {
		return err
	}
	return s.l.StopGateway(lab.Owner)
}

func (s *signing) fill(ctx context.Context, q *queue.Queue, host string, images []signedImage) error {
	var batch []delivery.Delivery
	add := func(repo string, d provenance.Digest, tag provenance.Tag) {
		e := provenance.Event{
			ID: provenance.NewEventID("bench", host, d.String()), Action: provenance.Push, Source: "distribution", Actor: "ci", OccurredAt: time.Now(),
			Repository: provenance.Repository(repo), Digest: d, Tag: tag,
		}
		batch = append(batch, delivery.Delivery{Host: provenance.Host(host), Connector: "main", Event: e, ReceivedAt: time.Now()})
	}
	for _, image := range images {
		add(image.repo, image.digest, "")
		for _, d := range image.artifacts {
			add(image.repo, d, image.tag)
		}
	}
	for len(batch) > 0 {
		n := min(perEnvelope, len(batch))
		if _, err := q.Accept(ctx, batch[:n]); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// lane submits four pieces about each image, straight to the ledger, and returns pieces
// final per second.
func (s *signing) lane(ctx context.Context, m *meter, seen *evidenceSeen, images []signedImage) (float64, error) {
	var batches [][]byte
	var pieces []evidence.Piece
	for i, image := range images {
		for _, envelope := range s.envelopes(image.digest) {
			pieces = append(pieces, evidence.Piece{Host: unread, Repository: image.repo, Digest: image.digest.String(), Format: "dsse", MSP: "VendorMSP", Key: "bench", Envelope: envelope})
		}
		if len(pieces) >= laneBatch || i == len(images)-1 {
			b, err := evidence.EncodeBatch(pieces)
			if err != nil {
				return 0, err
			}
			batches, pieces = append(batches, b), nil
		}
	}
	c, err := s.l.Dial(lab.Owner, "gateway")
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	if err := m.start(ctx); err != nil { // signing was no part of it
		return 0, err
	}
	before, start := seen.count.Load(), time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, lanesOut)
	for range lanesOut {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(batches)); i = next.Add(1) - 1 {
				if err := s.submit(ctx, c, batches[i]); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	n := int64(4 * len(images))
	err = seen.reach(ctx, before+n)
	return float64(n) / time.Since(start).Seconds(), err
}

func (s *signing) submit(ctx context.Context, c *ledger.Client, batch []byte) error {
	result, err := c.SubmitOnce(ctx, map[string][]byte{"pieces": batch}, "evidence:SubmitBatch")
	if err != nil {
		return err
	}
	var outcomes []evidence.Outcome
	if err := json.Unmarshal(result.Payload, &outcomes); err != nil {
		return err
	}
	for _, o := range outcomes {
		if o.Err() != nil || o.Known {
			return fmt.Errorf("a piece: %+v", o)
		}
	}
	return nil
}

// collect starts a gateway that finds all pushes in its queue, and returns pieces final
// per second from its start.
func (s *signing) collect(ctx context.Context, m *meter, seen *evidenceSeen, images []signedImage) (float64, error) {
	if err := filling(ctx, s.l, func(q *queue.Queue) error { return s.fill(ctx, q, s.host(), images) }); err != nil {
		return 0, err
	}
	if err := m.start(ctx); err != nil {
		return 0, err
	}
	before := seen.count.Load()
	if err := s.l.StartGateway(ctx, lab.Owner); err != nil {
		return 0, err
	}
	start := time.Now()
	n := int64(4 * len(images))
	if err := seen.reach(ctx, before+n); err != nil {
		return 0, err
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

// evidenceSeen counts pieces of evidence that are final on a peer.
type evidenceSeen struct{ count atomic.Int64 }

func followEvidence(ctx context.Context, l *lab.Lab) (*evidenceSeen, error) {
	c, err := l.Dial(lab.Owner, "auditor")
	if err != nil {
		return nil, err
	}
	height, err := c.Height(ctx)
	if err != nil {
		return nil, err
	}
	seen := &evidenceSeen{}
	go func() { // ends with ctx
		defer func() { _ = c.Close() }()
		err := c.Blocks(ctx, height, func(b block.Block) error {
			for _, tx := range b.Txs {
				for _, w := range tx.Writes {
					if kind, _, ok := state.SplitKey(w.Key); ok && kind == state.TypeEvidence {
						seen.count.Add(1)
					}
				}
			}
			return nil
		})
		if ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "evidence:", err)
		}
	}()
	return seen, nil
}

func (e *evidenceSeen) reach(ctx context.Context, n int64) error {
	return lab.Poll(ctx, 3*time.Minute, func() error {
		if got := e.count.Load(); got < n {
			return fmt.Errorf("%d of %d pieces are final", got, n)
		}
		return nil
	})
}

// each is the processor time of each of n things since the meter was started.
func (m *meter) each(ctx context.Context, n int) (string, error) {
	used, err := m.l.CPU(ctx)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if spent := used[name] - m.used[name]; spent > 0 {
			parts = append(parts, fmt.Sprintf("%s %d µs", name, spent.Microseconds()/int64(n)))
		}
	}
	return strings.Join(parts, ", "), err
}
