package api

import (
	"context"
	"maps"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/findings"
)

// Sweeps compares registries with the ledger, for operators of this gateway.
type Sweeps interface {
	// Start starts a sweep of a registry, of every one of the gateway's own
	// organisation when host is empty, or joins one that runs. Errors: NotFound,
	// Forbidden (another organisation's registry), Conflict (a sweep runs, and is
	// dry where this one would not be, or the other way round).
	Start(ctx context.Context, host provenance.Host, dryRun bool) ([]findings.Started, error)
	// List returns what is known of each registry's sweeps, by host.
	List(ctx context.Context) []findings.Registry
}

// StartSweep implements waybillv1.WaybillServer.
func (s *service) StartSweep(ctx context.Context, in *waybillv1.StartSweepRequest) (*waybillv1.StartSweepResponse, error) {
	host, err := s.sweptHost(in.GetRegistry())
	if err != nil {
		return nil, err
	}
	started, err := s.cfg.Sweeps.Start(ctx, host, in.GetDryRun())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.StartSweepResponse{}
	for _, one := range started {
		out.Sweeps = append(out.Sweeps, &waybillv1.StartedSweep{Registry: string(one.Host), Id: one.ID, Joined: one.Joined})
	}
	return out, s.at(ctx, &out.Height, &out.Stale)
}

// GetSweeps implements waybillv1.WaybillServer.
func (s *service) GetSweeps(ctx context.Context, in *waybillv1.GetSweepsRequest) (*waybillv1.GetSweepsResponse, error) {
	host, err := s.sweptHost(in.GetRegistry())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.GetSweepsResponse{}
	for _, one := range s.cfg.Sweeps.List(ctx) {
		if host != "" && one.Host != host {
			continue
		}
		out.Registries = append(out.Registries, &waybillv1.RegistrySweeps{
			Registry: string(one.Host), Running: sweep(one.Running), Last: sweep(one.Last), Alerts: sweepFindings(one.Alerts), Next: stamp(one.Next),
		})
	}
	return out, s.at(ctx, &out.Height, &out.Stale)
}

// sweptHost reads a registry's name, "" for all.
func (s *service) sweptHost(text string) (provenance.Host, error) {
	if s.cfg.Sweeps == nil {
		return "", provenance.Errorf(provenance.Unavailable, "this gateway does not sweep registries")
	}
	if text == "" {
		return "", nil
	}
	return provenance.ParseHost(text)
}

func sweep(one *findings.Sweep) *waybillv1.Sweep {
	if one == nil {
		return nil
	}
	return &waybillv1.Sweep{
		Id: one.ID, DryRun: one.DryRun, StartedAt: stamp(one.Started), FinishedAt: stamp(one.Finished), Error: one.Error,
		Repository: string(one.Repository), Doing: one.Doing, Done: int32(one.Done), Total: int32(one.Total), Tags: one.Tags, Images: one.Images,
		Requests: one.Requests, Waiting: int32(one.Waiting), Counts: sweepCounts(one.Counts), Findings: sweepFindings(one.Findings), Notes: one.Notes,
	}
}

func sweepCounts(counts map[string]int64) []*waybillv1.SweepCount {
	var out []*waybillv1.SweepCount
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, &waybillv1.SweepCount{Kind: kind, Count: counts[kind]})
	}
	return out
}

func sweepFindings(all []findings.Finding) []*waybillv1.SweepFinding {
	out := make([]*waybillv1.SweepFinding, len(all))
	for i, f := range all {
		out[i] = &waybillv1.SweepFinding{
			Kind: f.Kind, Repository: string(f.Repository), Tag: string(f.Tag), Digest: f.Digest.String(), Recorded: f.Recorded.String(),
			At: stamp(f.At), Outcome: f.Outcome, Detail: f.Detail,
		}
	}
	return out
}

// StartSweep starts a sweep of a registry, of every one of the gateway's own
// organisation when it is empty.
func (c *Client) StartSweep(ctx context.Context, registry string, dryRun bool) (*waybillv1.StartSweepResponse, error) {
	r, err := c.rpc.StartSweep(ctx, &waybillv1.StartSweepRequest{Registry: registry, DryRun: dryRun})
	return r, fromStatus(err)
}

// GetSweeps asks how the sweeps of a registry, or of all, are doing and what they found.
func (c *Client) GetSweeps(ctx context.Context, registry string) (*waybillv1.GetSweepsResponse, error) {
	r, err := c.rpc.GetSweeps(ctx, &waybillv1.GetSweepsRequest{Registry: registry})
	return r, fromStatus(err)
}
