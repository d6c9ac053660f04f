package record

import (
	"context"

	"github.com/waybill-dev/waybill/gateway/queue"
)

// ReadAgain reads the manifests of a sealed segment once more, as before a new endorsement.
func ReadAgain(ctx context.Context, r *Recorder, s queue.Segment) ([]byte, error) {
	r.Start()
	return (&Lane{Recorder: r, Name: "lane"}).ReadAgain(ctx, s)
}
