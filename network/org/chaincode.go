package org

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hyperledger/fabric-admin-sdk/pkg/chaincode"
	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer/lifecycle"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Definition is what the organisations agree on about the chaincode: its version, how often it
// was agreed on (sequence), and the package that one's own peer takes for it.
//
// The definition does not change with the chaincode's code: the package holds none, and an
// organisation that runs other code under a version simply stops agreeing with the others.
type Definition struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Sequence  int64  `json:"sequence"`
	PackageID string `json:"packageID,omitempty"`
}

// ChaincodeStatus is what the channel says about the chaincode, seen from one organisation.
type ChaincodeStatus struct {
	Committed *Definition     `json:"committed,omitempty"` // in force; nil: none yet
	Proposed  Definition      `json:"proposed"`            // what this folder approves
	Approved  bool            `json:"approved"`            // by this organisation, with its package
	Approvals map[string]bool `json:"approvals,omitempty"` // of what is proposed, by MSP id, unless it is in force
}

// InForce tells whether what is proposed is in force.
func (s ChaincodeStatus) InForce() bool {
	return s.Committed != nil && s.Committed.Version == s.Proposed.Version && s.Committed.Sequence == s.Proposed.Sequence
}

// Waiting returns the organisations that have not approved what is proposed, sorted.
func (s ChaincodeStatus) Waiting() []string {
	var out []string
	for mspID, approved := range s.Approvals {
		if !approved {
			out = append(out, mspID)
		}
	}
	slices.Sort(out)
	return out
}

// majority tells whether enough organisations approved for it to be committed.
func (s ChaincodeStatus) majority() bool {
	return len(s.Approvals)-len(s.Waiting()) > len(s.Approvals)/2
}

// proposed is the version that the folder is at, or upgrades to.
func (f *Folder) proposed() Contract {
	if f.spec.Next != nil {
		return *f.spec.Next
	}
	return f.spec.Contract
}

// ChaincodeStatus asks the organisation's own peer.
func (f *Folder) ChaincodeStatus(ctx context.Context) (ChaincodeStatus, error) {
	if err := f.load(); err != nil {
		return ChaincodeStatus{}, err
	}
	return f.chaincodeStatusAs(ctx, admin)
}

// ChaincodeInForce asks the organisation's own peer as its robot, whose key nobody has to open. Whether the organisation
// approved it is not said then.
func (f *Folder) ChaincodeInForce(ctx context.Context) (ChaincodeStatus, error) {
	if err := f.load(); err != nil {
		return ChaincodeStatus{}, err
	}
	return f.chaincodeStatusAs(ctx, robot)
}

// chaincodeStatusAs asks as one of the organisation's people. What it approved itself only its admins are told.
func (f *Folder) chaincodeStatusAs(ctx context.Context, person string) (ChaincodeStatus, error) {
	c, err := f.dial(person)
	if err != nil {
		return ChaincodeStatus{}, err
	}
	defer c.close()
	return f.chaincodeStatus(ctx, c)
}

func (f *Folder) chaincodeStatus(ctx context.Context, c *conn) (ChaincodeStatus, error) {
	gw := chaincode.NewGateway(c.grpc, c.signer)
	all, err := gw.QueryCommitted(ctx, f.spec.Channel)
	if err != nil {
		return ChaincodeStatus{}, withDetails(err)
	}
	want := f.proposed()
	s := ChaincodeStatus{Proposed: Definition{Name: f.spec.Chaincode, Version: want.Version, Sequence: 1, PackageID: want.PackageID}}
	for _, d := range all.GetChaincodeDefinitions() {
		if d.GetName() == f.spec.Chaincode {
			s.Committed = &Definition{Name: d.GetName(), Version: d.GetVersion(), Sequence: d.GetSequence()}
		}
	}
	if s.Committed != nil {
		s.Proposed.Sequence = s.Committed.Sequence
		if s.Committed.Version != want.Version {
			s.Proposed.Sequence++
		}
	}
	// An error here also means "not yet approved", so it is not one.
	if got, err := gw.QueryApproved(ctx, f.spec.Channel, f.spec.Chaincode, s.Proposed.Sequence); err == nil {
		s.Approved = got.GetVersion() == want.Version && got.GetSource().GetLocalPackage().GetPackageId() == want.PackageID
	}
	if s.InForce() {
		return s, nil
	}
	ready, err := gw.CheckCommitReadiness(ctx, f.definition(s.Proposed))
	if err != nil {
		return ChaincodeStatus{}, withDetails(err)
	}
	s.Approvals = ready.GetApprovals()
	return s, nil
}

// definition is d for Fabric. With no policy named, the channel's own holds: a majority of the organisations.
func (f *Folder) definition(d Definition) *chaincode.Definition {
	return &chaincode.Definition{
		ChannelName: f.spec.Channel, Name: d.Name, PackageID: d.PackageID, Version: d.Version, Sequence: d.Sequence,
	}
}

// Approve makes the organisation approve what the folder proposes, in force or not yet. What it approved
// already is approved once, so that a crash or an unknown outcome is repaired by repeating.
func (f *Folder) Approve(ctx context.Context) error {
	c, err := f.dial(admin)
	if err != nil {
		return err
	}
	defer c.close()
	return f.await(ctx, func(ctx context.Context) error {
		s, err := f.chaincodeStatus(ctx, c)
		if err != nil || s.Approved {
			return err
		}
		return withDetails(chaincode.NewGateway(c.grpc, c.signer).Approve(ctx, f.definition(s.Proposed)))
	}, f.node(KindPeer))
}

// ErrNoMajority says that too few organisations have approved.
var ErrNoMajority = errors.New("no majority of the organisations has approved")

// Commit puts in force what a majority of the organisations approved; it is ErrNoMajority while they
// have not. Committing what is in force changes nothing. Peers that have not heard of each other yet
// are waited for.
func (f *Folder) Commit(ctx context.Context) error {
	c, err := f.dial(admin)
	if err != nil {
		return err
	}
	defer c.close()
	tries := 0
	return f.await(ctx, func(ctx context.Context) error {
		s, err := f.chaincodeStatus(ctx, c)
		if err != nil || s.InForce() {
			return err
		}
		if !s.majority() {
			return hopeless{fmt.Errorf("version %s, sequence %d: %w; missing are %v", s.Proposed.Version, s.Proposed.Sequence, ErrNoMajority, s.Waiting())}
		}
		tries++
		return c.commit(ctx, f.spec.Channel, s, tries-1)
	}, f.node(KindPeer))
}

// commit asks as many organisations as decide, other ones with each try: a peer endorses only what its own
// organisation approved, and one that approved may be gone.
func (c *conn) commit(ctx context.Context, channel string, s ChaincodeStatus, try int) error {
	args, err := proto.Marshal(&lifecycle.CommitChaincodeDefinitionArgs{
		Name: s.Proposed.Name, Version: s.Proposed.Version, Sequence: s.Proposed.Sequence,
	})
	if err != nil {
		return fmt.Errorf("commit %s: %w", s.Proposed.Name, err)
	}
	var approved, asked []string
	for mspID, yes := range s.Approvals {
		if yes {
			approved = append(approved, mspID)
		}
	}
	slices.Sort(approved)
	for i := range len(s.Approvals)/2 + 1 {
		asked = append(asked, approved[(try+i)%len(approved)])
	}
	_, err = c.gateway.GetNetwork(channel).GetContract("_lifecycle").SubmitWithContext(ctx, "CommitChaincodeDefinition",
		client.WithBytesArguments(args), client.WithEndorsingOrganizations(asked...))
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("commit %s: %w", s.Proposed.Name, withDetails(err))
	}
	return nil
}

// AwaitCommit commits as soon as all have approved, and returns when the definition is in force.
func (f *Folder) AwaitCommit(ctx context.Context) error {
	return f.await(ctx, func(ctx context.Context) error {
		s, err := f.ChaincodeStatus(ctx)
		if err != nil || s.InForce() {
			return err
		}
		if waiting := s.Waiting(); len(waiting) > 0 {
			return fmt.Errorf("no approval seen yet from %v", waiting)
		}
		return f.Commit(ctx)
	}, f.node(KindPeer))
}
