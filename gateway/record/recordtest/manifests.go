package recordtest

import (
	"bytes"
	"context"
	"sync"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// Registry is a registry that serves the bytes it has been given.
type Registry struct {
	Mu    sync.Mutex
	By    map[provenance.Digest][]byte
	Tags  map[provenance.Tag]provenance.Digest
	Reads map[provenance.Digest]int
	Down  bool
}

// NewRegistry returns a registry that serves nothing yet.
func NewRegistry() *Registry {
	return &Registry{By: map[provenance.Digest][]byte{}, Tags: map[provenance.Tag]provenance.Digest{}, Reads: map[provenance.Digest]int{}}
}

// Put makes a manifest of so many bytes.
func (s *Registry) Put(name string, size int) provenance.Digest {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	body := append([]byte(name), bytes.Repeat([]byte{' '}, max(0, size-len(name)))...)
	d := provenance.SHA256Of(body)
	s.By[d] = body
	return d
}

// ManifestBytes serves a manifest, and counts that it was read.
func (s *Registry) ManifestBytes(_ context.Context, _ provenance.Repository, d provenance.Digest) (registry.Facts, []byte, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Reads[d]++
	body, ok := s.By[d]
	switch {
	case s.Down:
		return registry.Facts{}, nil, ledgertest.Unavailable("")
	case !ok:
		return registry.Facts{}, nil, provenance.Errorf(provenance.NotFound, "MANIFEST_UNKNOWN")
	}
	return registry.Facts{MediaType: "application/vnd.oci.image.manifest.v1+json", Size: int64(len(body))}, body, nil
}

// Manifest is ManifestBytes without the bytes.
func (s *Registry) Manifest(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, error) {
	facts, _, err := s.ManifestBytes(ctx, repo, d)
	return facts, err
}

// Resolve says what a tag names.
func (s *Registry) Resolve(_ context.Context, _ provenance.Repository, tag provenance.Tag) (provenance.Digest, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	switch d, ok := s.Tags[tag]; {
	case s.Down:
		return d, ledgertest.Unavailable("")
	case !ok:
		return d, provenance.Errorf(provenance.NotFound, "MANIFEST_UNKNOWN")
	default:
		return d, nil
	}
}

// Reads has every host read back from one registry.
func (b *Bench) Reads(r record.Registry) {
	b.Readers = func(provenance.Host) (record.Registry, bool) { return r, true }
	b.Reopen()
}

// PushOf is the push of an image under a tag.
func PushOf(repo, tag string, d provenance.Digest) delivery.Delivery {
	out := Event(repo, 0, provenance.Push)
	out.Event.ID = provenance.NewEventID("test", "main", repo, tag, d.String())
	out.Event.Tag, out.Event.Digest = provenance.Tag(tag), d
	return out
}
