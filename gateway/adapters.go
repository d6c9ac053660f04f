package gateway

import (
	"context"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/index"
)

// readModel is the index as the API sees it.
type readModel struct{ *index.Index }

func (m readModel) View(ctx context.Context, read func(height uint64, r api.Reads) error) error {
	return m.Index.View(ctx, func(s *index.Snapshot) error { return read(s.Height, s) })
}
