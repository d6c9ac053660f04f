package gateway

import (
	"bytes"
	"context"
	"sync"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// shelf is a registry that serves the bytes it has been given.
type shelf struct {
	mu    sync.Mutex
	by    map[provenance.Digest][]byte
	tags  map[provenance.Tag]provenance.Digest
	reads map[provenance.Digest]int
	down  bool
}

func newShelf() *shelf {
	return &shelf{by: map[provenance.Digest][]byte{}, tags: map[provenance.Tag]provenance.Digest{}, reads: map[provenance.Digest]int{}}
}

// put makes a manifest of so many bytes.
func (s *shelf) put(name string, size int) provenance.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := append([]byte(name), bytes.Repeat([]byte{' '}, max(0, size-len(name)))...)
	d := provenance.SHA256Of(body)
	s.by[d] = body
	return d
}

func (s *shelf) ManifestBytes(_ context.Context, _ provenance.Repository, d provenance.Digest) (registry.Facts, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads[d]++
	body, ok := s.by[d]
	switch {
	case s.down:
		return registry.Facts{}, nil, ledgertest.Unavailable("")
	case !ok:
		return registry.Facts{}, nil, provenance.Errorf(provenance.NotFound, "MANIFEST_UNKNOWN")
	}
	return registry.Facts{MediaType: "application/vnd.oci.image.manifest.v1+json", Size: int64(len(body))}, body, nil
}

func (s *shelf) Manifest(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, error) {
	facts, _, err := s.ManifestBytes(ctx, repo, d)
	return facts, err
}

func (s *shelf) Resolve(_ context.Context, _ provenance.Repository, tag provenance.Tag) (provenance.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch d, ok := s.tags[tag]; {
	case s.down:
		return d, ledgertest.Unavailable("")
	case !ok:
		return d, provenance.Errorf(provenance.NotFound, "MANIFEST_UNKNOWN")
	default:
		return d, nil
	}
}

func (b *bench) reads(r manifestReader) {
	b.readers = func(provenance.Host) (manifestReader, bool) { return r, true }
	b.reopen()
}

func pushOf(repo, tag string, d provenance.Digest) delivery.Delivery {
	out := event(repo, 0, provenance.Push)
	out.Event.ID = provenance.NewEventID("test", "main", repo, tag, d.String())
	out.Event.Tag, out.Event.Digest = provenance.Tag(tag), d
	return out
}
