package record

import (
	"context"
	"encoding/binary"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// manifests are the bytes of manifests that pushes of one batch name. They
// travel with the batch's segment, so that the contract derives what decides
// from the bytes and not from what this gateway says about them. They are kept
// in memory only, until the segment is endorsed: the registry has them, and a
// crash reads them again.
type manifests struct {
	mu   sync.Mutex
	by   map[provenance.Digest][]byte
	size int64 // as encoded
}

func newManifests() *manifests { return &manifests{by: map[provenance.Digest][]byte{}} }

// room tells whether another manifest may be read for this batch.
func (m *manifests) room() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.size < provenance.MaxManifests
}

// take keeps a manifest's bytes; false: with them there would be more than one
// segment carries. The first fits, whatever its size.
func (m *manifests) take(d provenance.Digest, body []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.by[d]; known || len(body) == 0 {
		return true
	}
	size := int64(len(body) + binary.MaxVarintLen64)
	if m.size+size > provenance.MaxManifests && len(m.by) > 0 {
		m.size = provenance.MaxManifests // nothing that comes later may pass what did not fit
		return false
	}
	m.by[d], m.size = body, m.size+size
	return true
}

// encode writes the manifests that the pushes of a segment name as the contract
// reads them: each once, its length as a uvarint before it. Nil: there are none.
func (m *manifests) encode(events []provenance.Event) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []byte
	seen := map[provenance.Digest]bool{}
	for _, e := range events {
		body := m.by[e.Digest]
		if e.Action != provenance.Push || len(body) == 0 || seen[e.Digest] {
			continue
		}
		seen[e.Digest] = true
		out = append(binary.AppendUvarint(out, uint64(len(body))), body...)
	}
	return out
}

// readAgain reads the manifests of a sealed segment once more, because a new
// transaction for it needs them and what was read before is not kept. Best
// effort: what the registry does not serve in the time there is, or what does
// not fit, the contract records by its digest alone, and it is proven later.
func (l *lane) readAgain(ctx context.Context, s queue.Segment) ([]byte, error) {
	events, err := provenance.DecodeSegment(s.Bytes)
	if err != nil {
		return nil, err
	}
	reader, _ := l.Readers(s.Host)
	if reader == nil {
		return nil, nil
	}
	began := time.Now()
	read := newManifests()
	within, cancel := context.WithTimeout(ctx, l.Limits.Again)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(l.Limits.Reads)
	asked := map[provenance.Digest]bool{}
	for _, e := range events {
		if e.Action != provenance.Push || asked[e.Digest] {
			continue
		}
		if !read.room() || within.Err() != nil {
			break
		}
		asked[e.Digest] = true
		group.Go(func() error {
			leave, err := l.reading(within, "")
			if err != nil {
				return nil //nolint:nilerr // the time is over: it is recorded by its digest
			}
			defer leave()
			if _, body, err := reader.ManifestBytes(within, e.Repository, e.Digest); err == nil {
				read.take(e.Digest, body)
			}
			return nil
		})
	}
	_ = group.Wait() // what failed is left out
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, e := range events {
		if e.Action == provenance.Push && len(read.by[e.Digest]) == 0 {
			l.Log.InfoContext(ctx, "pushes travel without their manifests, and are recorded by digest alone until they are proven",
				slog.String("lane", l.name), slog.Uint64("seq", s.Seq), slog.Int("manifests", len(read.by)), slog.Duration("took", time.Since(began)))
			if l.OnUnproven != nil {
				l.OnUnproven(ctx, s.Host, events, read.by)
			}
			break
		}
	}
	return read.encode(events), nil
}
