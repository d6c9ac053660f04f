package sweep

import (
	"context"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/findings"
)

// Start implements api.Sweeps.
func (s *Sweeper) Start(ctx context.Context, host provenance.Host, dry bool) ([]findings.Started, error) {
	hosts := []provenance.Host{host}
	if host == "" {
		hosts = s.sorted()
	}
	var out []findings.Started
	for _, h := range hosts {
		joined, err := s.begin(ctx, h, dry)
		code := provenance.CodeOf(err)
		if host == "" && (code == provenance.Forbidden || code == provenance.NotFound) {
			continue // another organisation's, which this gateway witnesses
		}
		if err != nil {
			return out, err
		}
		s.mu.Lock()
		one := findings.Started{Host: h, Joined: joined}
		// It may have ended already.
		if at := s.state(h); at.Run != nil {
			one.ID = at.Run.ID
		} else if at.Last != nil {
			one.ID = at.Last.ID
		}
		s.mu.Unlock()
		out = append(out, one)
	}
	if len(out) == 0 {
		return nil, provenance.Errorf(provenance.NotFound, "no registry of %s is configured in this gateway and on the ledger", s.MSP)
	}
	s.save(ctx, true)
	return out, nil
}

func (s *Sweeper) sorted() []provenance.Host {
	var out []provenance.Host
	for h := range s.Hosts {
		out = append(out, h)
	}
	slices.Sort(out)
	return out
}

// List implements api.Sweeps.
func (s *Sweeper) List(_ context.Context) []findings.Registry {
	var out []findings.Registry
	for _, h := range s.sorted() {
		next := s.due(h)
		s.mu.Lock()
		at := s.state(h)
		one := findings.Registry{Host: h, Running: reported(at.Run), Last: reported(at.Last), Alerts: slices.Clone(at.Alerts), Next: next}
		s.mu.Unlock()
		if one.Running != nil || one.Last != nil || !next.IsZero() {
			out = append(out, one)
		}
	}
	return out
}

func reported(r *run) *findings.Sweep {
	if r == nil {
		return nil
	}
	counts := make(map[string]int64, len(r.Counts))
	for kind, n := range r.Counts {
		counts[kind] = n
	}
	return &findings.Sweep{
		ID: r.ID, DryRun: r.DryRun, Started: r.Started, Finished: r.Finished, Error: r.Error, Repository: r.Place.Repository, Doing: r.Doing,
		Done: r.Done, Total: r.Total, Tags: r.Tags, Images: r.Images, Requests: r.Requests, Waiting: len(r.Suspects),
		Counts: counts, Findings: slices.Clone(r.Findings), Notes: slices.Clone(r.Notes),
	}
}
