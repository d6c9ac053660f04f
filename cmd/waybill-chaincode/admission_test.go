package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

// waiting is a chaincode whose transactions end when they are told.
type waiting struct {
	began chan string
	end   chan struct{}
}

func (w waiting) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }

func (w waiting) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	w.began <- stub.GetTxID()
	<-w.end
	return shim.Success(nil)
}

// proposed is one proposal of an organisation.
type proposed struct {
	shim.ChaincodeStubInterface
	org  string
	size int
}

func (p proposed) GetTxID() string { return p.org }

func (p proposed) GetSignedProposal() (*peer.SignedProposal, error) {
	return &peer.SignedProposal{ProposalBytes: make([]byte, p.size)}, nil
}

func (p proposed) GetCreator() ([]byte, error) {
	return proto.Marshal(&msp.SerializedIdentity{Mspid: p.org})
}

// One organisation's large proposals fill its own share; small ones, and those of others,
// go through. What ended, and what was given up, makes room.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := waiting{began: make(chan string, 100), end: make(chan struct{})}
		a := &admission{Chaincode: w}
		refused := 0
		send := func(org string, size int) {
			t.Helper()
			done := make(chan *peer.Response, 1)
			go func() { done <- a.Invoke(proposed{org: org, size: size}) }()
			synctest.Wait()
			select {
			case r := <-done:
				if !strings.HasPrefix(r.GetMessage(), "WB_UNAVAILABLE: "+org) {
					t.Errorf("%s: %d %s", org, r.GetStatus(), r.GetMessage())
				}
				refused++
			case <-w.began:
			}
		}
		for range 20 {
			send("VendorMSP", 4<<20)
		}
		if refused != 4 || a.held["VendorMSP"] != maxHeld {
			t.Errorf("%d of 20 were refused, %d bytes are held", refused, a.held["VendorMSP"])
		}
		refused = 0
		for range 50 {
			send("VendorMSP", smallProposal)
		}
		send("AuditMSP", 100<<20)
		if refused != 0 {
			t.Errorf("%d were refused beside them", refused)
		}
		send("AuditMSP", 4<<20)
		if refused != 1 {
			t.Error("a second one was taken beside one that is larger than all")
		}
		w.end <- struct{}{}
		time.Sleep(abandoned + time.Second) // of the bubble's clock: no time passes
		synctest.Wait()
		if len(a.held) != 0 {
			t.Errorf("what was given up is held: %v", a.held)
		}
		close(w.end)
		synctest.Wait()
		if len(a.held) != 0 {
			t.Errorf("given back twice: %v", a.held)
		}
		last := a.Invoke(proposed{org: "VendorMSP", size: 4 << 20})
		if last.GetStatus() != shim.OK || len(a.held) != 0 {
			t.Errorf("afterwards: %v, %v", last, a.held)
		}
	})
}
