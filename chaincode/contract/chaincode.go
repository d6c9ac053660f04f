// Package contract is Waybill's smart contract in Fabric's clothes: it decodes
// a transaction, asks who is calling, calls the rules and writes the outcome.
// The key map is in package state, the law of release in package policy; no
// rule about images lives here.
package contract

import (
	"fmt"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// Chaincode is the contracts behind the role table. The contract API brings a
// contract of its own (org.hyperledger.fabric) that asks nobody who calls: what
// is not in the table never reaches it.
type Chaincode struct {
	contracts *contractapi.ContractChaincode
}

// Init implements shim.Chaincode; the chaincode is deployed without it.
func (c *Chaincode) Init(stub shim.ChaincodeStubInterface) *peer.Response { return c.Invoke(stub) }

// Invoke implements shim.Chaincode.
func (c *Chaincode) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	name, _ := stub.GetFunctionAndParameters()
	if err := listed(name); err != nil {
		return shim.Error(err.Error())
	}
	return c.contracts.Invoke(stub)
}

// New builds the chaincode with all its contracts. A call is three steps: who
// may (authorise), the transaction, and, where that succeeded and wrote, what its reads
// leave behind (materialize).
func New() (*Chaincode, error) {
	kept, waiting, keys := new(policy.Cache), newTurns(largeAtOnce), new(evidence.KeyCache)
	before := func(tx *Tx) error {
		tx.policies, tx.turns, tx.keys = kept, waiting, keys
		return authorise(tx)
	}
	named := func(name string) contractapi.Contract {
		return contractapi.Contract{Name: name, BeforeTransaction: before, AfterTransaction: materialize, TransactionContextHandler: new(Tx)}
	}
	cc, err := contractapi.NewChaincode(
		&MemberContract{named("member")},
		&RegistryContract{named("registry")},
		&RecordContract{named("record")},
		&ImageContract{named("image")},
		&TagContract{named("tag")},
		&PromotionContract{named("promotion")},
		&ReleaseContract{named("release")},
		&QuarantineContract{named("quarantine")},
		&ProposalContract{named("proposal")},
		&ChannelContract{named("channel")},
		&PolicyContract{named("policy")},
		&KeyContract{named("key")},
		&TrustContract{named("trust")},
		&SchemaContract{named("schema")},
		&EvidenceContract{named("evidence")},
		&ContextContract{named("context")},
		&LabelContract{named("label")},
		&WaiverContract{named("waiver")},
		&VerdictContract{named("verdict")},
		&ClockContract{named("clock")},
		&GenesisContract{named("genesis")},
	)
	if err != nil {
		return nil, fmt.Errorf("waybill chaincode: %w", err)
	}
	cc.TransactionSerializer = textSerializer{}
	return &Chaincode{contracts: cc}, nil
}

// answer encodes a transaction's result: JSON text, built by this package and
// not by the contract API, so that the bytes are the same on every peer.
func answer(v any, err error) (string, error) {
	if err != nil {
		return "", err
	}
	b, err := state.Answer(v)
	return string(b), err
}
