package api

import (
	"context"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// parseWhen reads a moment: a height, an RFC 3339 time, or a day, which is its beginning in UTC.
func parseWhen(s string) (when readmodel.When, err error) {
	if s == "" {
		return when, nil
	}
	if height, err := strconv.ParseUint(s, 10, 63); err == nil && height > 0 {
		return readmodel.When{Height: height}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1970 {
			return readmodel.When{Time: t.UTC()}, nil
		}
	}
	return when, provenance.Errorf(provenance.Invalid, "moment %.80q: want a height from 1, a time (2026-11-24T10:00:00Z) or a day (2026-11-24)", s)
}

// viewAt is view of an earlier moment; "" is now.
func (s *service) viewAt(ctx context.Context, at string, read func(moment, Reads) error) error {
	when, err := parseWhen(at)
	if err != nil {
		return err
	}
	if when.IsNow() {
		return s.view(ctx, read)
	}
	// Freshness first, as in view.
	stale := s.cfg.Freshness().Stale
	return s.cfg.Index.ViewAt(ctx, when, s.cfg.Now(), func(at readmodel.AsOf, r Reads) error {
		return read(moment{height: at.Height, stale: stale && !at.Whole, now: at.Judged, past: true}, r)
	})
}

// asOf is the moment as an answer has it; nil for now.
func (m moment) asOf() *timestamppb.Timestamp {
	if !m.past {
		return nil
	}
	return stamp(m.now)
}

// pastAnswer is an answer that may be of an earlier moment.
type pastAnswer interface {
	GetHeight() uint64
	GetAsOf() *timestamppb.Timestamp
}

// sameMoment compares the moment of an answer with the one that was asked for: a gateway
// that knows no earlier ones would speak of now.
func sameMoment(asked string, got pastAnswer) error {
	when, err := parseWhen(asked)
	switch {
	case err != nil:
		return err
	case when.IsNow() && got.GetAsOf() == nil:
	case when.Height > 0 && got.GetAsOf() != nil && got.GetHeight() == when.Height:
	case !when.Time.IsZero() && got.GetAsOf() != nil && got.GetAsOf().AsTime().Equal(when.Time):
	case when.IsNow():
		return other("moment", "now", "an earlier one")
	case got.GetAsOf() == nil:
		return other("moment", asked, "now")
	default:
		return other("moment", asked, "another one")
	}
	return nil
}
