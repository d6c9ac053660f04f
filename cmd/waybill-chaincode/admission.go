package main

import (
	"sync"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/pkg/cid"
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	// smallProposal is what nobody counts: acts are of a few KiB.
	smallProposal = 64 << 10
	// maxHeld bounds the larger proposals of one organisation that this process has
	// before it, in bytes. A gateway's lanes all at once have no more. One that is
	// alone is taken whatever its size.
	maxHeld = 64 << 20
	// abandoned is when a proposal is counted no more: the peer gave it up long before
	// (chaincode.executetimeout), and a call of it to a peer that went away never returns.
	abandoned = 2 * time.Minute
)

// admission keeps one organisation's clients from filling this process's memory, where
// each proposal stands four times. What it refuses is endorsed by no peer, or by others
// and not by this one; nothing of it can differ on the ledger.
type admission struct {
	shim.Chaincode

	mutex sync.Mutex
	held  map[string]int // bytes, by MSP id
}

// Invoke implements shim.Chaincode.
func (a *admission) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	proposal, err := stub.GetSignedProposal()
	if err != nil || len(proposal.GetProposalBytes()) <= smallProposal {
		return a.Chaincode.Invoke(stub)
	}
	msp, err := cid.GetMSPID(stub)
	if err != nil {
		return shim.Error(provenance.Errorf(provenance.Forbidden, "caller's organisation is unknown").Error())
	}
	end, ok := a.take(msp, len(proposal.GetProposalBytes()))
	if !ok {
		return shim.Error(provenance.Errorf(provenance.Unavailable, "%s has %d MiB of proposals before this peer's chaincode already; try again", msp, maxHeld>>20).Error())
	}
	defer end()
	return a.Chaincode.Invoke(stub)
}

// take counts a proposal until end is called, which may be twice.
func (a *admission) take(msp string, size int) (end func(), ok bool) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if held := a.held[msp]; held > 0 && held+size > maxHeld {
		return nil, false
	}
	if a.held == nil {
		a.held = map[string]int{}
	}
	a.held[msp] += size
	release := sync.OnceFunc(func() {
		a.mutex.Lock()
		defer a.mutex.Unlock()
		if a.held[msp] -= size; a.held[msp] == 0 {
			delete(a.held, msp)
		}
	})
	timer := time.AfterFunc(abandoned, release)
	return func() { timer.Stop(); release() }, true
}
