package channel

import (
	"fmt"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer/smartbft"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Parameters are what a channel has that no descriptor says. The zero value of each field means its default.
type Parameters struct {
	Channel           string        // default "waybill"
	BatchTimeout      time.Duration // default 1s; not used by BFT, which cuts by its own interval, but must parse
	BatchInterval     time.Duration // default 100ms; see smartBFT
	MaxMessageCount   uint32        // default 500 transactions in a block
	AbsoluteMaxBytes  uint32        // default 10 MiB; no transaction may be larger. A proof carries its whole block, so blocks stay bounded
	PreferredMaxBytes uint32        // default 2 MiB

	// After is the channel that this one goes on from, which names this one; nil: none.
	After *provenance.Predecessor
}

func (p Parameters) withDefaults() Parameters {
	if p.Channel == "" {
		p.Channel = "waybill"
	}
	if p.BatchTimeout == 0 {
		p.BatchTimeout = time.Second
	}
	if p.BatchInterval == 0 {
		p.BatchInterval = 100 * time.Millisecond
	}
	if p.MaxMessageCount == 0 {
		p.MaxMessageCount = 500
	}
	if p.AbsoluteMaxBytes == 0 {
		p.AbsoluteMaxBytes = 10 << 20
	}
	if p.PreferredMaxBytes == 0 {
		p.PreferredMaxBytes = 2 << 20
	}
	return p
}

// Bounds of batches, for the first block and for every change of it.
const (
	mostMessages = 10_000
	mostBytes    = 64 << 20 // below it, gRPC's bound of 100 MiB holds a block and what goes around it
	leastBytes   = 1 << 20  // a transaction of evidence must fit
)

func (p Parameters) check() error {
	if !chainName.MatchString(p.Channel) {
		return fmt.Errorf("channel name %.80q: want %s", p.Channel, chainName)
	}
	if p.BatchTimeout < time.Millisecond || p.BatchTimeout > time.Minute || p.BatchInterval < time.Millisecond || p.BatchInterval > time.Minute {
		return fmt.Errorf("batch timeout %s, interval %s: want 1ms to 1m", p.BatchTimeout, p.BatchInterval)
	}
	if p.After != nil {
		if err := p.After.Check(); err != nil {
			return err
		}
	}
	return checkBatch(p.batchSize())
}

func (p Parameters) batchSize() *orderer.BatchSize {
	return &orderer.BatchSize{MaxMessageCount: p.MaxMessageCount, AbsoluteMaxBytes: p.AbsoluteMaxBytes, PreferredMaxBytes: p.PreferredMaxBytes}
}

func checkBatch(b *orderer.BatchSize) error {
	if n := b.GetMaxMessageCount(); n < 1 || n > mostMessages {
		return fmt.Errorf("%d transactions in a block: want 1 to %d", n, mostMessages)
	}
	if n := b.GetAbsoluteMaxBytes(); n < leastBytes || n > mostBytes {
		return fmt.Errorf("%d bytes in a block at most: want %d to %d", n, leastBytes, mostBytes)
	}
	if n := b.GetPreferredMaxBytes(); n < 1 || n > b.GetAbsoluteMaxBytes() {
		return fmt.Errorf("%d bytes in a block if possible: want 1 to %d", n, b.GetAbsoluteMaxBytes())
	}
	return nil
}

// smartBFT are the consensus's options. Every one is given: with some missing, the others do not keep their
// defaults but fail to parse.
func (p Parameters) smartBFT() *smartbft.Options {
	return &smartbft.Options{
		// How long the leader gathers before each block, which costs the nodes 45 ms of processor time together,
		// however little is in it. At 50ms, a loaded network makes half as many again; an act that is
		// alone waits half of this on average.
		RequestBatchMaxInterval:   p.BatchInterval.String(),
		IncomingMessageBufferSize: 200,
		// Fabric's 400 caps throughput, because one proposal is in flight at a time.
		RequestPoolSize: 10000,
		// Failover: a dead leader is suspected after forward + complain when work waits, else after the
		// heartbeat timeout. Measured: commits pause 3.5s, against more than 20s with the defaults.
		RequestForwardTimeout:    "1s",
		RequestComplainTimeout:   "3s",
		RequestAutoRemoveTimeout: "3m0s",
		ViewChangeResendInterval: "1s",
		ViewChangeTimeout:        "5s",
		LeaderHeartbeatTimeout:   "4s",
		LeaderHeartbeatCount:     10,
		CollectTimeout:           "1s",
	}
}
