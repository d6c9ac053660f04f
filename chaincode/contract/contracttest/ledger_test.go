package contracttest

import (
	"errors"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

// scribe is a chaincode of four transactions: put KEY VALUE, copy FROM TO,
// delete KEY, and guard KEY, which asks for the peers of A from then on.
type scribe struct{}

func (scribe) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }

func (scribe) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	do, args := stub.GetFunctionAndParameters()
	var err error
	switch do {
	case "put":
		before, _ := stub.GetState(args[0])
		if err = stub.PutState(args[0], []byte(args[1])); err == nil {
			// A peer hides what a transaction has written from itself.
			if after, _ := stub.GetState(args[0]); string(after) != string(before) {
				return shim.Error("a transaction reads its own write")
			}
		}
	case "copy":
		var b []byte
		if b, err = stub.GetState(args[0]); err == nil && len(b) > 0 {
			err = stub.PutState(args[1], b)
		}
	case "delete":
		err = stub.DelState(args[0])
	case "guard":
		role, _ := proto.Marshal(&msp.MSPRole{MspIdentifier: "A", Role: msp.MSPRole_PEER})
		by := &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{}}
		rule := &common.SignaturePolicy{Type: &common.SignaturePolicy_NOutOf_{NOutOf: &common.SignaturePolicy_NOutOf{N: 1, Rules: []*common.SignaturePolicy{by}}}}
		b, _ := proto.Marshal(&common.SignaturePolicyEnvelope{Identities: []*msp.MSPPrincipal{{Principal: role}}, Rule: rule})
		err = stub.SetStateValidationParameter(args[0], b)
	}
	if err != nil {
		return shim.Error(err.Error())
	}
	return shim.Success(nil)
}

func TestDrawer(t *testing.T) {
	l := New(scribe{})
	endorse := func(args ...string) *Endorsement {
		t.Helper()
		e := l.Endorse(Proposal{Args: args})
		if !e.OK() {
			t.Fatalf("%v: %s", args, e.Message)
		}
		return e
	}
	commit := func(e *Endorsement, by ...string) error { return l.Commit(e, by) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(commit(endorse("put", "a", "1")))
	copied, again, absent := endorse("copy", "a", "b"), endorse("copy", "a", "c"), endorse("copy", "new", "d")
	if l.Get("b") != nil {
		t.Error("an endorsement writes")
	}
	must(commit(copied))
	must(commit(endorse("put", "a", "1"))) // the same value is another version
	must(commit(endorse("put", "new", "1")))
	for _, e := range []*Endorsement{again, absent} {
		var stale *ConflictError
		if err := commit(e); !errors.As(err, &stale) {
			t.Errorf("read before it was written: %v", err)
		}
	}
	kept := endorse("copy", "a", "e")
	must(commit(endorse("delete", "a")))
	must(commit(endorse("put", "a", "1")))
	if commit(kept) == nil {
		t.Error("a key that was deleted and made again is as it was")
	}

	fork := l.Clone(nil)
	must(commit(endorse("guard", "a")))
	if err := commit(endorse("put", "a", "2"), "B"); !errors.As(err, new(*UnendorsedError)) {
		t.Errorf("without the peers of A: %v", err)
	}
	must(commit(endorse("put", "a", "2"), "B", "A"))
	if string(fork.Get("a")) != "1" || string(l.Get("a")) != "2" {
		t.Errorf("%s and %s", fork.Get("a"), l.Get("a"))
	}
}
