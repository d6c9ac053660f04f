package api

import (
	"context"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

const (
	// maxFound bounds the images of an answer to the beginning of a digest.
	maxFound = 20
	// maxSearchText bounds the words that are looked for, in bytes.
	maxSearchText = 256
)

// decisions are the kinds of records that say what was decided.
func decisions() map[string][]string {
	return map[string][]string{
		"approved": {"approval"}, "rejected": {"rejection"}, "released": {"release", "rollback", "break-glass"}, "refused": {"refusal"},
		"quarantined": {"hold"}, "lifted": {"lift"}, "waived": {"waiver", "waiver-approval"}, "voted": {"vote"},
		"withdrawn": {"approval-withdrawn", "promotion-withdrawn", "proposal-withdrawn", "evidence-withdrawn", "key-withdrawn", "trusted-root-withdrawn", "waiver-revoked"},
	}
}

// Search implements waybillv1.WaybillServer.
func (s *service) Search(ctx context.Context, in *waybillv1.SearchRequest) (*waybillv1.SearchResponse, error) {
	filter, err := searchFilter(in)
	if err != nil {
		return nil, err
	}
	p, err := page(in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	p.NewestFirst = !in.GetOldestFirst()
	out := &waybillv1.SearchResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		records, next, err := r.Search(filter, p)
		for _, record := range records {
			out.Entries = append(out.Entries, historyEntry(record))
		}
		out.NextPageToken = next
		return err
	})
}

func searchFilter(in *waybillv1.SearchRequest) (f readmodel.SearchFilter, err error) {
	f = readmodel.SearchFilter{Digest: in.GetDigest(), Repository: in.GetRepository(), Actor: in.GetActor(), MSP: in.GetMsp(), Stage: in.GetStage(), Text: in.GetText()}
	for what, text := range map[string]string{"actor": f.Actor, "msp": f.MSP, "stage": f.Stage, "text": f.Text, "kind": in.GetKind(), "repository": f.Repository, "digest": f.Digest} {
		if len(text) > maxSearchText {
			return f, provenance.Errorf(provenance.Invalid, "%s: %d bytes; at most %d are looked for", what, len(text), maxSearchText)
		}
	}
	if in.GetTag() != "" {
		if f.Tag, err = provenance.ParseTag(in.GetTag()); err != nil {
			return f, err
		}
	}
	if f.Repository != "" {
		if err := policy.CheckPattern(f.Repository); err != nil {
			return f, err
		}
	}
	if in.GetKind() != "" {
		f.Kinds = []string{in.GetKind()}
	}
	if word := in.GetDecision(); word != "" {
		kinds, ok := decisions()[word]
		switch {
		case !ok:
			return f, provenance.Errorf(provenance.Invalid, "decision %.80q: want approved, rejected, released, refused, quarantined, lifted, withdrawn, waived or voted", word)
		case f.Kinds != nil:
			return f, provenance.Errorf(provenance.Invalid, "a kind and a decision: want one of them")
		}
		f.Kinds = kinds
	}
	if in.GetSince() != nil {
		f.Since = in.GetSince().AsTime()
	}
	if in.GetBefore() != nil {
		f.Before = in.GetBefore().AsTime()
	}
	return f, nil
}

// FindImages implements waybillv1.WaybillServer.
func (s *service) FindImages(ctx context.Context, in *waybillv1.FindImagesRequest) (*waybillv1.FindImagesResponse, error) {
	where, err := askedRepository(in.GetRepository())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.FindImagesResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		found, err := r.FindImages(strings.TrimPrefix(in.GetDigest(), "sha256:"), where.Host, where.Repository, maxFound+1)
		if out.Truncated = len(found) > maxFound; out.Truncated {
			found = found[:maxFound]
		}
		for _, one := range found {
			out.Images = append(out.Images, one.String())
		}
		return err
	})
}

const (
	// maxWait bounds how long a question waits for the next event; less than callDeadline.
	maxWait = 20 * time.Second
	// waitPace is how often it looks. A look is one row.
	waitPace = 250 * time.Millisecond
)

// ListEvents implements waybillv1.WaybillServer. Whoever reads slowly is behind for itself
// alone: nothing is kept for anybody, each answer is read when it is asked for.
func (s *service) ListEvents(ctx context.Context, in *waybillv1.ListEventsRequest) (*waybillv1.ListEventsResponse, error) {
	p, err := page(in.GetPageSize(), "")
	if err != nil {
		return nil, err
	}
	wait := time.Duration(in.GetWaitSeconds()) * time.Second
	if wait < 0 || wait > maxWait || in.GetLast() < 0 || in.GetLast() > maxPage {
		return nil, provenance.Errorf(provenance.Invalid, "wait at most %s and begin with the last %d events at most", maxWait, maxPage)
	}
	if wait > 0 {
		release, err := s.followers.take(callerOf(ctx).MSP)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	until := time.Now().Add(wait)
	for {
		out := &waybillv1.ListEventsResponse{}
		err := s.view(ctx, func(at moment, r Reads) error {
			out.Height, out.Stale = at.height, at.stale
			records, next, err := r.Events(in.GetAfter(), int(in.GetLast()), p.Size)
			for _, record := range records {
				out.Entries = append(out.Entries, historyEntry(record))
			}
			out.Next = next
			return err
		})
		if err != nil || len(out.GetEntries()) > 0 || !time.Now().Before(until) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, nil //nolint:nilerr // nothing happened until the caller left
		case <-s.followers.over:
			return out, nil
		case <-time.After(waitPace):
		}
	}
}
