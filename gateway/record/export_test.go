package record

import (
	"context"

	"github.com/waybill-dev/waybill/gateway/queue"
)

// ReadAgain reads the manifests of a sealed segment once more, as before a new endorsement.
func ReadAgain(ctx context.Context, r *Recorder, s queue.Segment) ([]byte, error) {
	r.start()
	return (&lane{Recorder: r, name: "lane"}).readAgain(ctx, s)
}
