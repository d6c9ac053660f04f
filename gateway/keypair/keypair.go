// Package keypair serves TLS with a certificate that may be renewed while the gateway runs.
package keypair

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Every is how often files are looked at: a renewal has days, and in tests minutes.
const Every = 5 * time.Second

// Pair is a certificate and its key, as the files last were when they fitted together.
type Pair struct {
	certFile, keyFile string
	now               atomic.Pointer[tls.Certificate]
}

// Load reads the files; it is WB_INVALID for files that are no certificate with its key.
func Load(certFile, keyFile string) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile}
	_, err := p.Reload()
	return p, err
}

// Reload reads the files again and tells whether the certificate is another. After an error the one before goes on.
func (p *Pair) Reload() (changed bool, err error) {
	pair, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return false, provenance.Wrap(provenance.Invalid, err, "certificate %s", p.certFile)
	}
	before := p.now.Load()
	// The authorities behind it may be others as well: clients know the roots alone.
	if before != nil && slices.EqualFunc(before.Certificate, pair.Certificate, bytes.Equal) {
		return false, nil
	}
	p.now.Store(&pair)
	return before != nil, nil
}

// Leaf returns the certificate that is served now.
func (p *Pair) Leaf() *x509.Certificate { return p.now.Load().Leaf }

// Get is a tls.Config's GetCertificate.
func (p *Pair) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.now.Load(), nil }

// Reloader is what has files that are renewed: a Pair, or a ledger's client.
type Reloader interface {
	Reload() (changed bool, err error)
}

// Watch reloads each of them, by its name for the log, until ctx ends. What does not fit is tried again.
func Watch(ctx context.Context, log *slog.Logger, every time.Duration, all map[string]Reloader) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	broken := map[string]string{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for name, r := range all {
			changed, err := r.Reload()
			switch {
			case err != nil && broken[name] != err.Error():
				broken[name] = err.Error()
				log.WarnContext(ctx, "renewed certificate cannot be used, the one before goes on", slog.String("of", name), slog.Any("error", err))
			case err == nil:
				delete(broken, name)
			}
			if changed {
				log.InfoContext(ctx, "renewed certificate is used from now on", slog.String("of", name))
			}
		}
	}
}
