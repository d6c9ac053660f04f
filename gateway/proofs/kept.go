package proofs

import (
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// Bounds of what one organisation has of a gateway. Who asks for more images than
// maxKept gets its older receipts made anew, and who asks for more at once than
// maxTurns is refused with WB_FULL; other organisations notice neither.
const (
	maxKept      = 16              // receipts that are kept for an organisation,
	maxKeptBytes = 256 << 10       // of at most this size,
	keepFor      = 5 * time.Minute // and how long
	maxTurns     = 4               // files being made for an organisation at once
)

// keptID is what a receipt is an answer to.
type keptID struct {
	asker   string
	subject state.Subject
	need    int
}

// kept are receipts of allowed images, to be handed out again, in memory.
type kept struct {
	mu    sync.Mutex
	by    map[keptID]readmodel.Proof
	order map[string][]keptID // of each asker, the oldest first
}

// get returns a receipt that is young enough and says what the index says now.
func (k *kept) get(id keptID, r readmodel.ReceiptRequest, now time.Time) (readmodel.Proof, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.by[id]
	if !ok || p.Answer != r.Answer || now.Sub(p.At) > min(r.MaxAge, keepFor) {
		return readmodel.Proof{}, false
	}
	return p, true
}

// put keeps a receipt of an allowed image, in place of the one before or of the asker's oldest.
func (k *kept) put(id keptID, p readmodel.Proof) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.by == nil {
		k.by, k.order = map[keptID]readmodel.Proof{}, map[string][]keptID{}
	}
	order := k.order[id.asker]
	for i, other := range order {
		if other == id {
			order = append(order[:i], order[i+1:]...)
			delete(k.by, id)
			break
		}
	}
	if p.Answer == policy.Allowed && len(p.File) <= maxKeptBytes {
		if len(order) == maxKept {
			delete(k.by, order[0])
			order = order[1:]
		}
		k.by[id], order = p, append(order, id)
	}
	k.order[id.asker] = order
}

// turns bound what is made at once.
type turns struct {
	mu   sync.Mutex
	open map[string]int
}

func (t *turns) take(asker string) (done func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[string]int{}
	}
	if t.open[asker] >= maxTurns {
		return nil, provenance.Errorf(provenance.Full, "%d receipts or proofs are being made for %s already", maxTurns, asker)
	}
	t.open[asker]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.open[asker]--; t.open[asker] == 0 {
			delete(t.open, asker)
		}
	}, nil
}
