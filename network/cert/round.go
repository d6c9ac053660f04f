package cert

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/network/disk"
)

// roundHolds is how long a renewal of everything that was interrupted, or that waits for a vote, is gone on with. What was
// renewed longer ago is renewed again.
const roundHolds = 14 * 24 * time.Hour

// round is how far a renewal has come. It is written before a certificate is switched, so that whoever begins anew after a
// crash finds what is done, and which node has not read it yet.
type round struct {
	Began    time.Time         `json:"began,omitzero"` // of a renewal of everything; none: single ones were named
	Lifetime time.Duration     `json:"lifetime,omitempty"`
	Done     map[string]string `json:"done"`              // serial numbers, by pair: done once the pair in use has it
	Pending  []string          `json:"pending,omitempty"` // nodes that were to be restarted, and perhaps are not

	left []string // pending since an earlier run
}

func (f *Folder) roundPath() string { return f.at("pairs", "renewal.json") }

// openRound returns the round that is under way, or a new one where that is over, or was asked for another lifetime.
func (f *Folder) openRound(all bool, o Options) (*round, error) {
	r := &round{}
	raw, err := os.ReadFile(f.roundPath())
	if err == nil {
		if err := json.Unmarshal(raw, r); err != nil {
			return nil, fmt.Errorf("read %s: %w", f.roundPath(), err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if r.Done == nil {
		r.Done = map[string]string{}
	}
	r.left = slices.Clone(r.Pending)
	if !all {
		return r, nil
	}
	if age := o.Now().Sub(r.Began); o.Anew || r.Lifetime != o.Lifetime || age > roundHolds || age < 0 {
		r.Began, r.Lifetime = o.Now().UTC().Truncate(time.Second), o.Lifetime
		for name := range r.Done { // but what a node has not read yet it has to
			if p, err := f.Select([]string{name}); o.Anew || err != nil || !slices.Contains(r.Pending, p[0].Node) {
				delete(r.Done, name)
			}
		}
		return r, f.writeRound(r)
	}
	o.Step("going on with the renewal that began at " + r.Began.Format(time.RFC3339))
	return r, nil
}

func (f *Folder) writeRound(r *round) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode how far a renewal is: %w", err)
	}
	return disk.Write(f.roundPath(), append(raw, '\n'), 0o600)
}

// done says whether a pair need not be renewed again: it was, in the round that is gone on with, and holds; or its node has
// not been restarted with it yet, which is then all that is left to do.
func (f *Folder) done(r *round, p Pair, all bool, o Options) (c *x509.Certificate, is bool, err error) {
	serial, noted := r.Done[p.Name]
	if !noted {
		return nil, false, nil
	}
	if c, err = readCert(p.Cert); err != nil {
		return nil, false, err
	}
	if fmt.Sprintf("%x", c.SerialNumber) != serial {
		return c, false, nil // prepared, and not switched to; or another one since
	}
	if !all && !slices.Contains(r.left, p.Node) || c.NotAfter.Sub(o.Now()) <= warnFrom(c) {
		return c, false, nil
	}
	authority, err := f.signer(p.Authority)
	if p.Authority == Self || errors.Is(err, errElsewhere) {
		return c, true, nil
	}
	return c, err == nil && c.CheckSignatureFrom(authority.cert) == nil, err // not one below an authority that goes
}

// switching notes what a pair is about to be switched to.
func (f *Folder) switching(r *round, p Pair, to *x509.Certificate) error {
	r.Done[p.Name] = fmt.Sprintf("%x", to.SerialNumber)
	if p.Node != "" && p.Node != Gateway && !slices.Contains(r.Pending, p.Node) { // a gateway sees its files change
		r.Pending = append(r.Pending, p.Node)
	}
	return f.writeRound(r)
}

// restarted notes that a node runs with what is in use.
func (f *Folder) restarted(r *round, node string) error {
	r.Pending = slices.DeleteFunc(r.Pending, func(n string) bool { return n == node })
	return f.writeRound(r)
}

// closeRound forgets a round that is over: nothing is pending, and of everything each was renewed.
func (f *Folder) closeRound(r *round) error {
	if len(r.Pending) > 0 {
		return nil
	}
	if !r.Began.IsZero() {
		pairs, err := f.Pairs()
		if err != nil {
			return err
		}
		for _, p := range pairs {
			c, err := readCert(p.Cert)
			if err != nil {
				return err
			}
			if r.Done[p.Name] != fmt.Sprintf("%x", c.SerialNumber) {
				return nil
			}
		}
	}
	if err := os.Remove(f.roundPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
