package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// service answers the methods; who may call is the guard's business.
type service struct {
	waybillv1.UnimplementedWaybillServer
	cfg     Config
	started time.Time

	policies  policy.Cache
	followers *followers
}

// view reads the index at one height. Freshness is asked first: an answer must
// not be called fresh for a stream that fell silent while it was made.
func (s *service) view(ctx context.Context, read func(at moment, r Reads) error) error {
	stale := s.cfg.Freshness().Stale
	return s.cfg.Index.View(ctx, func(height uint64, r Reads) error {
		return read(moment{height: height, stale: stale, now: s.cfg.Now()}, r)
	})
}

// moment is when an answer is true.
type moment struct {
	height uint64
	stale  bool
	now    time.Time // what is judged
	past   bool      // it is an earlier one that was asked for
}

// GetStatus implements waybillv1.WaybillServer.
func (s *service) GetStatus(ctx context.Context, _ *waybillv1.GetStatusRequest) (*waybillv1.GetStatusResponse, error) {
	stats, err := s.cfg.Queue.Stats(ctx)
	if err != nil {
		return nil, err
	}
	unusable, err := s.cfg.Unusable.UnusableCounts(ctx)
	if err != nil {
		return nil, err
	}
	fresh := s.cfg.Freshness()
	out := &waybillv1.GetStatusResponse{
		Stale: fresh.Stale, Org: s.cfg.Org, Version: s.cfg.Version, Channel: s.cfg.Channel,
		Queue: &waybillv1.QueueStats{
			Pending: stats.Pending, Sealed: stats.Sealed, Dead: stats.Dead, Done: stats.Done, OldestPending: stamp(stats.OldestPending),
		},
		WaitingReason: fresh.Waiting, LastBlockAt: stamp(fresh.LastBlock), StartedAt: stamp(s.started),
	}
	for _, n := range unusable {
		out.Queue.Unusable += n.Kept
		out.Queue.UnusableDropped += n.Dropped
	}
	if callerOf(ctx).MSP == s.cfg.Org {
		out.WeakConnectors = s.weak()
	}
	for _, c := range s.cfg.Certificates() {
		if c.EndsSoon(s.cfg.Now()) {
			out.EndingCertificates = append(out.EndingCertificates, &waybillv1.EndingCertificate{Org: c.Org, Use: c.Use, Name: c.Name, Ends: stamp(c.NotAfter)})
		}
	}
	return out, s.view(ctx, func(at moment, _ Reads) error {
		out.Height = at.height
		// The peer was asked seconds ago, and every block of the index came from one since.
		out.PeerHeight = max(fresh.PeerHeight, at.height)
		return nil
	})
}

// GetTag implements waybillv1.WaybillServer.
func (s *service) GetTag(ctx context.Context, in *waybillv1.GetTagRequest) (*waybillv1.GetTagResponse, error) {
	host, err := provenance.ParseHost(in.GetHost())
	if err != nil {
		return nil, err
	}
	repo, err := provenance.ParseRepository(in.GetRepository())
	if err != nil {
		return nil, err
	}
	tag, err := provenance.ParseTag(in.GetTag())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.GetTagResponse{Host: string(host), Repository: string(repo), Tag: string(tag)}
	return out, s.viewAt(ctx, in.GetAt(), func(at moment, r Reads) error {
		t, err := readTag(r, provenance.Reference{Host: host, Repository: repo, Tag: tag})
		out.Height, out.Stale, out.AsOf = at.height, at.stale, at.asOf()
		out.Digest, out.Previous, out.Moves, out.At = t.Digest.String(), t.Previous.String(), t.Moves, stamp(t.At)
		return err
	})
}

// GetVerdict implements waybillv1.WaybillServer.
func (s *service) GetVerdict(ctx context.Context, in *waybillv1.GetVerdictRequest) (*waybillv1.GetVerdictResponse, error) {
	ref, err := provenance.ParseReference(in.GetImage())
	if err != nil {
		return nil, err
	}
	stage, err := policy.ParseStageName(in.GetStage())
	if err != nil {
		return nil, err
	}
	var out *waybillv1.GetVerdictResponse
	err = s.viewAt(ctx, in.GetAt(), func(at moment, r Reads) error {
		if err := resolve(r, &ref); err != nil {
			return err
		}
		v, err := state.Ask(s.reader(r), state.Subject{Stage: stage, Host: ref.Host, Repository: ref.Repository, Digest: ref.Digest}, at.now)
		if err != nil {
			return err
		}
		allowed := v.Verdict == policy.Allowed || slices.ContainsFunc(v.Children, func(c policy.ChildVerdict) bool { return c.Verdict == policy.Allowed })
		// What was forbidden may be told from an old state; what is allowed may
		// have been forbidden since.
		if at.stale && allowed {
			return withHint(provenance.Errorf(provenance.Unavailable, "the gateway's block stream is stale at height %d: it cannot say that anything is allowed", at.height),
				"ask another organisation's gateway, or see: waybill status")
		}
		out = &waybillv1.GetVerdictResponse{
			Image: v.Image, Digest: v.Digest.String(), Stage: v.Stage, Verdict: string(v.Verdict), Height: at.height, Stale: at.stale,
			Reasons: reasons(v.Reasons), EvidenceSet: v.EvidenceSet, Warning: v.Warning, Attempt: int32(v.Attempt), AsOf: at.asOf(),
		}
		if v.Requester != nil {
			out.Requester = person(*v.Requester)
		}
		if v.Policy != nil {
			out.Policy = version(*v.Policy)
		}
		if v.Until != nil {
			out.Until = stamp(*v.Until)
		}
		for _, c := range v.Children {
			out.Children = append(out.Children, &waybillv1.ChildVerdict{Digest: c.Digest.String(), Verdict: string(c.Verdict)})
		}
		return nil
	})
	return out, err
}

// resolve fills in the digest that a reference's tag names on the ledger.
func resolve(r Reads, ref *provenance.Reference) error {
	if !ref.Digest.IsZero() {
		return nil
	}
	t, err := readTag(r, *ref)
	if err != nil {
		return err
	}
	if t.Digest.IsZero() {
		return withHint(provenance.Errorf(provenance.NotFound, "tag %s was deleted; it last named %s", ref, t.Previous), "waybill history "+ref.String())
	}
	ref.Digest = t.Digest
	return nil
}

func readTag(r Reads, ref provenance.Reference) (state.Tag, error) {
	var t state.Tag
	found, err := state.Read(r, state.TagKey(ref.Host, ref.Repository, ref.Tag), &t)
	if err == nil && !found {
		err = withHint(provenance.Errorf(provenance.NotFound, "tag %s is not on the ledger", ref), "push it, or wait for its registry's gateway to record the push")
	}
	return t, err
}

// parseImage reads a reference or a digest alone; with a digest alone, the
// reference has no host.
func parseImage(s string) (provenance.Reference, error) {
	if strings.HasPrefix(s, "sha256:") || strings.HasPrefix(s, "sha512:") {
		d, err := provenance.ParseDigest(s)
		return provenance.Reference{Digest: d}, err
	}
	return provenance.ParseReference(s)
}

// parseRepository reads "host/repository".
func parseRepository(s string) (provenance.Reference, error) {
	if strings.Contains(s, "@") {
		return provenance.Reference{}, provenance.Errorf(provenance.Invalid, "repository: want host/repository without a digest")
	}
	// A reference is a repository with a tag: one grammar, one parser.
	ref, err := provenance.ParseReference(s + ":tag")
	ref.Tag = ""
	return ref, err
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func reasons(all []policy.Reason) []*waybillv1.Reason {
	out := make([]*waybillv1.Reason, len(all))
	for i, r := range all {
		out[i] = &waybillv1.Reason{Rule: r.Rule, Outcome: string(r.Outcome), Detail: r.Detail, Fix: r.Fix}
	}
	return out
}

func person(p policy.Person) *waybillv1.Person {
	return &waybillv1.Person{Msp: p.MSP, Name: p.Name}
}

func people(all []policy.Person) []*waybillv1.Person {
	out := make([]*waybillv1.Person, len(all))
	for i, p := range all {
		out[i] = person(p)
	}
	return out
}

func version(v policy.Version) *waybillv1.PolicyVersion {
	return &waybillv1.PolicyVersion{Name: v.Name, Version: int32(v.Version), Hash: v.Hash}
}
