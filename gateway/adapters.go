package gateway

import (
	"context"
	"time"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// readModel is the index as the API sees it.
type readModel struct{ *index.Index }

func (m readModel) View(ctx context.Context, read func(height uint64, r api.Reads) error) error {
	return m.Index.View(ctx, func(s *index.Snapshot) error { return read(s.Height, s) })
}

func (m readModel) ViewAt(ctx context.Context, when readmodel.When, now time.Time, read func(readmodel.AsOf, api.Reads) error) error {
	return m.Index.ViewAt(ctx, when, now, func(at readmodel.AsOf, s *index.Snapshot) error { return read(at, s) })
}
