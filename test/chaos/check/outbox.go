package check

import (
	"context"
	"errors"

	"github.com/waybill-dev/waybill/gateway/queue"
)

// ReadOutbox opens the queue of a gateway that has ended.
func ReadOutbox(ctx context.Context, file, name string, lanes int) (o Outbox, err error) {
	q, err := queue.Open(ctx, file, queue.Options{Lanes: lanes})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, q.Close()) }() //nolint:contextcheck // it closes after ctx has ended
	s, err := q.Stats(ctx)
	if err != nil {
		return o, err
	}
	o = Outbox{Name: name, Waiting: int(s.Pending), Sealed: int(s.Sealed)}
	for after := int64(0); ; {
		letters, err := q.Dead(ctx, after, 1000)
		if err != nil || len(letters) == 0 {
			return o, err
		}
		for _, d := range letters {
			e := d.Event
			o.Dead = append(o.Dead, Key(e.Action.String(), string(d.Host), string(e.Repository), string(e.Tag), e.Digest.String()))
			after = d.ID
		}
	}
}
