package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/test/lab"
)

const (
	drainPending = 4_000_000
	drainLook    = 10 * time.Millisecond
	drainAsk     = time.Second      // how often the gateway is asked before all is final
	drainStale   = 15 * time.Second // a gateway that starts calls its answers stale at first
	drainStuck   = 2 * time.Minute  // without one more event or block
)

// rates are how fast a queue was emptied, in events per second: until the
// owner's peer had them, and until whoever asked the owner's gateway saw them.
type rates struct {
	final, visible float64
	// behind is how long after the last event was final it was visible.
	behind time.Duration
	// wholeFinal and wholeVisible count all events, from the moment the gateway took
	// questions: the first segments of all lanes are on their way before the first block
	// comes, so that a short queue is emptied slower than the other two say.
	wholeFinal, wholeVisible float64
	// inFirst is the share of the events that the first block held, and starting how
	// long after the gateway took questions it came.
	inFirst   float64
	starting  time.Duration
	listening time.Time
	// stale: the gateway called its answers so at some moment.
	stale bool
}

// drain puts n events into the queue of a gateway that is down, starts it, and
// returns its rates from the first block (whose own events do not count) on.
func drain(ctx context.Context, l *lab.Lab, w *watcher, m *meter, fill func(*queue.Queue) error, n int) (rates, error) {
	if err := l.StopGateway(lab.Owner); err != nil {
		return rates{}, err
	}
	if err := filling(ctx, l, fill); err != nil {
		return rates{}, err
	}
	before := w.count.Load()
	w.first.Store(0)
	if err := m.start(ctx); err != nil { // filling the queue was no part of it
		return rates{}, err
	}
	began := time.Now()
	// Its readiness is not waited for: a gateway that is behind is not ready.
	if err := l.SpawnGateway(lab.Owner); err != nil {
		return rates{}, err
	}
	r, visible, err := emptied(ctx, l, w, before+int64(n))
	if err != nil {
		return rates{}, err
	}
	first, last, counted := time.Unix(0, w.first.Load()), time.Unix(0, w.last.Load()), int64(n)-w.inFirst.Load()
	if counted <= 0 { // one block held all of them
		first, counted = began, int64(n)
	}
	r.final = float64(counted) / last.Sub(first).Seconds()
	r.visible = float64(counted) / visible.Sub(first).Seconds()
	r.behind = visible.Sub(last)
	r.wholeFinal, r.wholeVisible = float64(n)/last.Sub(r.listening).Seconds(), float64(n)/visible.Sub(r.listening).Seconds()
	r.inFirst, r.starting = float64(w.inFirst.Load())/float64(n), first.Sub(r.listening)
	return r, nil
}

// emptied waits until that many events are final in all, and then until the owner's
// gateway answers from the block with the last of them: that is when.
func emptied(ctx context.Context, l *lab.Lab, w *watcher, events int64) (r rates, visible time.Time, err error) {
	var reader *api.Client
	defer func() {
		if reader != nil {
			_ = reader.Close() // only read from
		}
	}()
	look := time.NewTicker(drainLook)
	defer look.Stop()
	var count, height uint64
	began, moved, asked := time.Now(), time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return r, visible, ctx.Err()
		case <-look.C:
		}
		if time.Since(moved) > drainStuck {
			return r, visible, fmt.Errorf("%d of %d events are final and the index has %d blocks: nothing has moved for %s", count, events, height, drainStuck)
		}
		got := w.count.Load()
		if uint64(got) != count {
			count, moved = uint64(got), time.Now()
		}
		if got < events && time.Since(asked) < drainAsk {
			continue
		}
		if reader == nil {
			if !l.Listens(lab.Owner) {
				continue
			}
			r.listening = time.Now()
			if reader, err = l.API(ctx, lab.Owner, "auditor"); err != nil {
				return r, visible, err
			}
		}
		asked = time.Now()
		status, err := statusOf(ctx, reader)
		if err != nil {
			continue // it starts
		}
		r.stale = r.stale || status.GetStale() && time.Since(began) > drainStale
		if status.GetHeight() != height {
			height, moved = status.GetHeight(), time.Now()
		}
		if got >= events && height > w.lastBlock.Load() {
			return r, time.Now(), nil
		}
	}
}

func statusOf(ctx context.Context, c *api.Client) (*waybillv1.GetStatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return c.GetStatus(ctx)
}

// filling opens the queue of a gateway that is down.
func filling(ctx context.Context, l *lab.Lab, fill func(*queue.Queue) error) (err error) {
	q, err := queue.Open(ctx, filepath.Join(l.Dir, "network", "orgs", lab.Owner, "gateway", "data", "queue.db"), queue.Options{Lanes: 8, MaxPending: drainPending})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	return fill(q)
}

func fill(ctx context.Context, l *lab.Lab, q *queue.Queue, action provenance.Action, n int) error {
	for done := 0; done < n; done += perEnvelope {
		batch := make([]delivery.Delivery, perEnvelope)
		for i := range batch {
			serial := fmt.Sprintf("%s %d %d", action, time.Now().UnixNano(), done+i)
			e := provenance.Event{
				ID: provenance.NewEventID("bench", "bench", serial), Action: action, Source: "distribution", Actor: "ci", OccurredAt: time.Now(),
				Repository: provenance.Repository(fmt.Sprintf("bench/%s-%d", action, i%32)), Digest: provenance.SHA256Of([]byte(serial)),
			}
			if action == provenance.Pull { // what is pulled was pushed once and is pulled often
				e.Digest = provenance.SHA256Of(fmt.Appendf(nil, "image %d", (done+i)%pulledImages))
			} else {
				e.Tag, e.MediaType, e.Size = provenance.Tag(fmt.Sprintf("t%d", done+i)), "application/vnd.oci.image.manifest.v1+json", 1187
			}
			batch[i] = delivery.Delivery{Host: provenance.Host(l.Registry), Connector: "main", Event: e, ReceivedAt: time.Now()}
		}
		if _, err := q.Accept(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}
