package org

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/hyperledger/fabric-admin-sdk/pkg/snapshot"
	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// SnapshotMetadata is the file of a snapshot that is the same, byte for byte, at every peer with the same ledger: it names
// the block and the hash of each other file. Nobody signs it.
const SnapshotMetadata = "_snapshot_signable_metadata.json"

const (
	snapshotMore = "_snapshot_additional_metadata.json" // the hash of the former, and the peer's commit hash
	maxMetadata  = 1 << 20
)

// Snapshot has the own peer write what its ledger is after a block, 0 for the last one or one that is still to come, and
// returns the folder once it is there. Commits wait meanwhile.
func (f *Folder) Snapshot(ctx context.Context, block uint64) (dir string, err error) {
	c, err := f.dial(admin)
	if err != nil {
		return "", err
	}
	defer c.close()
	if block == 0 {
		height, _, err := c.chainInfo(ctx, f.spec.Channel)
		if err != nil {
			return "", err
		}
		block = height - 1
	}
	dir = f.at("peer", "data", "snapshots", "completed", f.spec.Channel, strconv.FormatUint(block, 10))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	asked := block
	if height, _, err := c.chainInfo(ctx, f.spec.Channel); err == nil && block == height-1 {
		asked = 0 // Fabric's word for the last block
	}
	if err := snapshot.NewPeer(c.grpc, c.signer).SubmitRequest(ctx, f.spec.Channel, asked); err != nil {
		return "", withDetails(err)
	}
	return dir, poll(ctx, func(context.Context) error {
		_, err := os.Stat(dir)
		return err
	})
}

// CheckSnapshot compares a snapshot with the metadata that organisations told, which must all be its own, and each file
// with its hash. What is no part of it is an error: a peer reads the folder.
func CheckSnapshot(dir string, told [][]byte) (block uint64, err error) {
	raw, err := readSmall(filepath.Join(dir, SnapshotMetadata))
	if err != nil {
		return 0, err
	}
	for i, other := range told {
		if !bytes.Equal(raw, other) {
			return 0, provenance.Errorf(provenance.Conflict, "the snapshot is not the one that organisation %d of %d has: its metadata differs", i+1, len(told))
		}
	}
	var m struct {
		Block uint64            `json:"last_block_number"`
		Files map[string]string `json:"snapshot_files_raw_hashes"`
	}
	if err := json.Unmarshal(raw, &m); err != nil || len(m.Files) == 0 {
		return 0, provenance.Errorf(provenance.Invalid, "%s: no metadata of a snapshot", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if _, listed := m.Files[e.Name()]; !listed && e.Name() != SnapshotMetadata && e.Name() != snapshotMore || !e.Type().IsRegular() {
			return 0, provenance.Errorf(provenance.Invalid, "%s is no part of the snapshot", e.Name())
		}
	}
	for name, want := range m.Files {
		if !filepath.IsLocal(name) || filepath.Base(name) != name {
			return 0, provenance.Errorf(provenance.Invalid, "%q is no file of a snapshot", name)
		}
		got, err := hashFile(filepath.Join(dir, name))
		if err != nil {
			return 0, err
		}
		if got != want {
			return 0, provenance.Errorf(provenance.Conflict, "%s has other bytes than the metadata says", name)
		}
	}
	return m.Block, nil
}

func readSmall(file string) ([]byte, error) {
	in, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, provenance.Errorf(provenance.NotFound, "%s is not there: no snapshot", file)
	}
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // only read from
	return io.ReadAll(io.LimitReader(in, maxMetadata))
}

func hashFile(file string) (string, error) {
	in, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer in.Close() //nolint:errcheck // only read from
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// JoinBySnapshot starts the peer, which must have no ledger of the channel, and has it begin with a snapshot that was
// checked. Up does the rest.
func (f *Folder) JoinBySnapshot(ctx context.Context, dir string) error {
	if err := f.Start(ctx, string(KindPeer)); err != nil {
		return err
	}
	c, err := f.dial(admin)
	if err != nil {
		return err
	}
	defer c.close()
	asked := false
	return f.await(ctx, func(ctx context.Context) error {
		joined, err := c.peerJoined(ctx, f.spec.Channel)
		if err != nil || joined {
			return err
		}
		if !asked {
			if err := c.configure(ctx, "JoinChainBySnapshot", dir); err != nil {
				return err
			}
			asked = true
		}
		return fmt.Errorf("the peer reads the snapshot in %s", dir)
	}, f.node(KindPeer))
}

// configure calls the peer's own configuration, of no channel.
func (c *conn) configure(ctx context.Context, function, arg string) error {
	proposal, err := c.gateway.GetNetwork("").GetContract("cscc").NewProposal(function, client.WithArguments(arg))
	if err != nil {
		return err
	}
	raw, err := proposal.Bytes()
	if err != nil {
		return err
	}
	var proposed gateway.ProposedTransaction
	if err := proto.Unmarshal(raw, &proposed); err != nil {
		return err
	}
	signed := &peer.SignedProposal{ProposalBytes: proposed.GetProposal().GetProposalBytes()}
	if signed.Signature, err = c.signer.Sign(signed.GetProposalBytes()); err != nil {
		return err
	}
	answer, err := peer.NewEndorserClient(c.grpc).ProcessProposal(ctx, signed)
	if err != nil {
		return withDetails(err)
	}
	if r := answer.GetResponse(); r.GetStatus() != 200 {
		return fmt.Errorf("%s: %d %s", function, r.GetStatus(), r.GetMessage())
	}
	return nil
}
