package contract

import (
	"time"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// ClockContract keeps the ledger's own time. A transaction's time is its
// client's claim, bounded by the peers where it is endorsed and by nothing where
// it is committed: an endorsement can be kept in a drawer. So whatever depends on
// time reads the clock, which gateways move on about once a minute, and an
// endorsement from before the last tick is invalid when it comes.
type ClockContract struct{ contractapi.Contract }

// Tick moves the clock to the transaction's time, cut to whole minutes. Where it
// is there already, or further, that is success without a write. Where the clock
// stood still for longer than a tick it is noted until when: what was endorsed
// before may have been committed as late.
func (ClockContract) Tick(tx *Tx) (string, error) {
	var c state.Clock
	if _, err := state.Read(tx, state.ClockKey(), &c); err != nil {
		return "", err
	}
	now := tx.now.Truncate(policy.ClockTick)
	if !now.After(c.At) {
		return answer(c, nil)
	}
	if now.Sub(c.At) > policy.ClockTick {
		if err := tx.put(state.GapKey(c.Seq), state.Gap{At: now}); err != nil {
			return "", err
		}
	}
	c.At, c.Seq = now, c.Seq+1
	return answer(c, tx.put(state.ClockKey(), c))
}

// Get returns the clock; its time is zero before the first tick.
func (ClockContract) Get(tx *Tx) (string, error) {
	var c state.Clock
	_, err := state.Read(tx, state.ClockKey(), &c)
	return answer(c, err)
}

// checkClock refuses an act that is dated before what the ledger's clock allows,
// and returns the clock. Read, the clock becomes part of what the act rests on:
// a tick between endorsement and commit makes the act invalid. Where the clock
// stands still, what depends on time is unmet and says so.
func (tx *Tx) checkClock() (state.Clock, error) {
	var c state.Clock
	if _, err := state.Read(tx, state.ClockKey(), &c); err != nil || c.At.IsZero() {
		return c, err
	}
	if behind := c.At.Sub(tx.now); behind > policy.ClockGrace {
		return c, provenance.Errorf(provenance.Stale, "the act is dated %s, and the ledger's clock is at %s already: endorse it again; is this machine's clock right?",
			tx.now.UTC().Format(time.RFC3339), c.At.UTC().Format(time.RFC3339))
	}
	return c, nil
}
