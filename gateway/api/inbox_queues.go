package api

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// queue is what one organisation waits for of one kind, the newest first.
type queue struct {
	kind, msp string
	after     *readmodel.Waiting // the last that was taken
	ahead     []readmodel.Waiting
}

// queues takes one thing from each queue in turn, so that nobody who asks for
// much is in the way of another, nor one's promotions before one's debts.
type queues struct {
	r     Reads
	now   time.Time
	lanes []*queue // the next to be asked is first
}

// kinds are those of what waits, the most urgent first.
func kinds() []string {
	return []string{state.TypeReleased, state.TypeProposal, state.TypeWaivers, state.TypePromotion}
}

// lookAhead is how much of a queue is read at once.
const lookAhead = 16

// openQueues opens the queues at the beginning, own's before the others, or
// where a token says.
func openQueues(r Reads, token, own string, now time.Time) (*queues, error) {
	q := &queues{r: r, now: now}
	if token != "" {
		return q, q.resume(token)
	}
	for _, kind := range kinds() {
		msps, err := r.Askers(kind)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(msps, func(a, b string) int { return cmp.Or(compareBool(b == own, a == own), cmp.Compare(a, b)) })
		for _, msp := range msps {
			q.lanes = append(q.lanes, &queue{kind: kind, msp: msp})
		}
	}
	return q, nil
}

// next returns what is to be looked at next, nil at the end of all queues.
func (q *queues) next() (*readmodel.Waiting, error) {
	for len(q.lanes) > 0 {
		lane := q.lanes[0]
		if err := q.fill(lane); err != nil {
			return nil, err
		}
		if len(lane.ahead) == 0 {
			q.lanes = q.lanes[1:]
			continue
		}
		w := lane.ahead[0]
		lane.ahead, lane.after = lane.ahead[1:], &w
		q.lanes = append(q.lanes[1:], lane)
		return &w, nil
	}
	return nil, nil
}

func (q *queues) fill(lane *queue) (err error) {
	if len(lane.ahead) == 0 {
		lane.ahead, err = q.r.Waits(lane.kind, lane.msp, lane.after, q.now, lookAhead)
	}
	return err
}

// token says where the queues stand that have something left, "" where none has.
func (q *queues) token() (string, error) {
	var b []byte
	for _, lane := range q.lanes {
		if err := q.fill(lane); err != nil {
			return "", err
		}
		if len(lane.ahead) == 0 {
			continue
		}
		at := readmodel.Waiting{}
		if lane.after != nil {
			at = *lane.after
		}
		b = append(b, byte(slices.Index(kinds(), lane.kind)))
		for _, text := range []string{lane.msp, at.Key, at.ID} {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
		since := int64(0)
		if !at.Since.IsZero() {
			since = at.Since.UnixNano()
		}
		b = binary.BigEndian.AppendUint64(b, uint64(since))
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

func (q *queues) resume(token string) error {
	bad := provenance.Errorf(provenance.Invalid, "page token: not one of ours; use the token of the page before as it is")
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return bad
	}
	text := func() (s string, ok bool) {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return "", false
		}
		s, b = string(b[size:size+int(n)]), b[size+int(n):]
		return s, true
	}
	for len(b) > 0 {
		kind := int(b[0])
		b = b[1:]
		msp, ok := text()
		key, also := text()
		id, too := text()
		if !ok || !also || !too || kind >= len(kinds()) || len(b) < 8 {
			return bad
		}
		lane := &queue{kind: kinds()[kind], msp: msp}
		since := int64(binary.BigEndian.Uint64(b))
		b = b[8:]
		if key != "" {
			lane.after = &readmodel.Waiting{Kind: lane.kind, Key: key, ID: id, MSP: msp}
			if since != 0 {
				lane.after.Since = time.Unix(0, since).UTC()
			}
		}
		q.lanes = append(q.lanes, lane)
	}
	return nil
}
