package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/test/lab"
)

// shelves serves the manifests of images that are pushed in the phase that reads
// back: a real registry would be measured instead of us.
type shelves struct {
	host  string
	mu    sync.RWMutex
	named map[string]int // digest to serial
}

// serveManifests starts it and tells the owner's gateway to read it back.
func serveManifests(ctx context.Context, l *lab.Lab) (*shelves, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &shelves{host: listener.Addr().String(), named: map[string]int{}}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with the process
	path := filepath.Join(l.Dir, "network", "orgs", lab.Owner, "gateway", "config.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text := strings.Replace(string(b), "registries:\n", fmt.Sprintf("registries:\n  - {host: %q, insecure: true, allow_private: true}\n", s.host), 1)
	return s, os.WriteFile(path, []byte(text), 0o600)
}

// manifest is the manifest of an image of seven layers, 1.3 KiB, which no other serial has.
func manifest(serial int) []byte {
	var layers []string
	for i := range 7 {
		layers = append(layers, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":%d}`, provenance.SHA256Of(fmt.Append(nil, "layer", i)), 1000000+i))
	}
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":7023},"layers":[%s]}`,
		provenance.SHA256Of(strconv.AppendInt(nil, int64(serial), 10)), strings.Join(layers, ","))
}

func (s *shelves) put(serial int) provenance.Digest {
	d := provenance.SHA256Of(manifest(serial))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.named[d.String()] = serial
	return d
}

func (s *shelves) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := strings.LastIndex(r.URL.Path, "/manifests/")
	if at < 0 {
		w.WriteHeader(http.StatusOK) // the ping of the protocol
		return
	}
	digest := r.URL.Path[at+len("/manifests/"):]
	s.mu.RLock()
	serial, ok := s.named[digest]
	s.mu.RUnlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	w.Header().Set("Docker-Content-Digest", digest)
	_, _ = w.Write(manifest(serial)) // who hung up needs none
}

func readRepo(serial int) provenance.Repository {
	return provenance.Repository(fmt.Sprintf("bench/read-%d", serial%32))
}

// fill puts pushes of n images into the queue.
func (s *shelves) fill(ctx context.Context, q *queue.Queue, n int) error {
	for done := 0; done < n; done += perEnvelope {
		batch := make([]delivery.Delivery, perEnvelope)
		for i := range batch {
			serial := done + i
			batch[i] = delivery.Delivery{Host: provenance.Host(s.host), Connector: "main", ReceivedAt: time.Now(), Event: provenance.Event{
				ID: provenance.NewEventID("bench", "bench", s.host, strconv.Itoa(serial)), Action: provenance.Push, Source: "distribution", Actor: "ci", OccurredAt: time.Now(),
				Repository: readRepo(serial), Digest: s.put(serial), Tag: provenance.Tag(fmt.Sprintf("t%d", serial)),
				MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 1354,
			}}
		}
		if _, err := q.Accept(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}
