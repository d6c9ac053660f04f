package doctor

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net"
	"strings"
	"time"

	"github.com/hyperledger/fabric-admin-sdk/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/network/channel"
)

// answer is what a node of the channel said.
type answer struct {
	err    error
	until  time.Time // its certificate
	height uint64
	clock  *int // 0: it has our time, -1: it is behind ours, 1: ahead; nil: not found out
}

// margin is how far from our time we try. A peer takes 20 seconds (core.yaml): what it takes at both ends is within 5.
const margin = 15 * time.Second

func (e *examination) ask(ctx context.Context, p place) answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	until, err := handshake(ctx, p)
	if err != nil {
		return answer{err: err}
	}
	out := answer{until: until}
	if p.kind != "peer" {
		return out
	}
	conn, err := channel.Dial(p.address, p.roots)
	if err != nil {
		return answer{err: err}
	}
	defer conn.Close() //nolint:errcheck // it was only read from
	endorser := peer.NewEndorserClient(conn)
	robot := e.folder.Client().People["gateway"]
	s, err := channel.ReadSigner(e.folder.Spec().MSPID, robot.Cert, robot.Key, nil)
	if err != nil {
		return answer{err: err}
	}
	id, err := identity.NewPrivateKeySigningIdentity(s.MSPID, s.Cert, s.Key)
	if err != nil {
		return answer{err: err}
	}
	// A peer refuses proposals whose time is too far from its own: what it takes tells its time.
	taken := map[time.Duration]bool{}
	for _, shift := range []time.Duration{0, -margin, margin} {
		height, refused, err := chainInfo(ctx, endorser, id, e.folder.Spec().Channel, e.o.Now().Add(shift))
		if err != nil {
			out.err = err
			return out
		}
		taken[shift], out.height = !refused, max(out.height, height)
	}
	skew := 0
	switch {
	case taken[0] && taken[-margin] && taken[margin]:
	case taken[-margin]:
		skew = -1
	default:
		skew = 1
	}
	out.clock = &skew
	return out
}

func (e *examination) clockOf(of string, skew int) {
	switch skew {
	case -1:
		e.add("clock", of, Warning, "is behind this host's by more than 5 seconds", "compare both with NTP: at 20 seconds it refuses what comes from here")
	case 1:
		e.add("clock", of, Warning, "is ahead of this host's by more than 5 seconds, or far from it", "compare both with NTP: at 20 seconds it refuses what comes from here")
	default:
		e.add("clock", of, Fine, "is within 5 seconds of this host's", "")
	}
}

// handshake dials a node and checks its certificate against what the channel says of its organisation.
func handshake(ctx context.Context, p place) (until time.Time, err error) {
	host, _, err := net.SplitHostPort(p.address)
	if err != nil {
		return time.Time{}, err
	}
	d := tls.Dialer{Config: &tls.Config{RootCAs: p.roots, ServerName: host, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}}
	conn, err := d.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close() //nolint:errcheck // it was only read from
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].NotAfter, nil
}

// chainInfo asks a peer for the channel's height, at a time that the proposal claims. It tells whether the peer refused
// it for its time.
func chainInfo(ctx context.Context, endorser peer.EndorserClient, id identity.SigningIdentity, name string, at time.Time) (height uint64, refused bool, err error) {
	proposal, err := signedProposal(id, name, at)
	if err != nil {
		return 0, false, err
	}
	response, err := endorser.ProcessProposal(ctx, proposal)
	if err != nil {
		if strings.Contains(err.Error(), "time window") || strings.Contains(err.Error(), "apart from current server time") {
			return 0, true, nil
		}
		return 0, false, err
	}
	info := &common.BlockchainInfo{}
	return info.GetHeight(), false, unmarshalHeight(response, info, &height)
}

func unmarshalHeight(response *peer.ProposalResponse, info *common.BlockchainInfo, height *uint64) error {
	if err := proto.Unmarshal(response.GetResponse().GetPayload(), info); err != nil {
		return err
	}
	*height = info.GetHeight()
	return nil
}

// signedProposal asks qscc for the height. The library that does this takes the present for its time.
func signedProposal(id identity.SigningIdentity, name string, at time.Time) (*peer.SignedProposal, error) {
	creator, err := proto.Marshal(&msp.SerializedIdentity{Mspid: id.MspID(), IdBytes: id.Credentials()})
	if err != nil {
		return nil, err
	}
	nonce := sha256.Sum256([]byte(at.String() + name))
	txID := sha256.Sum256(append(append([]byte{}, nonce[:]...), creator...))
	extension, err := proto.Marshal(&peer.ChaincodeHeaderExtension{ChaincodeId: &peer.ChaincodeID{Name: "qscc"}})
	if err != nil {
		return nil, err
	}
	channelHeader, err := proto.Marshal(&common.ChannelHeader{
		Type: int32(common.HeaderType_ENDORSER_TRANSACTION), ChannelId: name, TxId: hex.EncodeToString(txID[:]), Timestamp: timestamppb.New(at), Extension: extension,
	})
	if err != nil {
		return nil, err
	}
	signatureHeader, err := proto.Marshal(&common.SignatureHeader{Creator: creator, Nonce: nonce[:]})
	if err != nil {
		return nil, err
	}
	header, err := proto.Marshal(&common.Header{ChannelHeader: channelHeader, SignatureHeader: signatureHeader})
	if err != nil {
		return nil, err
	}
	input, err := proto.Marshal(&peer.ChaincodeInvocationSpec{ChaincodeSpec: &peer.ChaincodeSpec{
		Type: peer.ChaincodeSpec_GOLANG, ChaincodeId: &peer.ChaincodeID{Name: "qscc"}, Input: &peer.ChaincodeInput{Args: [][]byte{[]byte("GetChainInfo"), []byte(name)}},
	}})
	if err != nil {
		return nil, err
	}
	payload, err := proto.Marshal(&peer.ChaincodeProposalPayload{Input: input})
	if err != nil {
		return nil, err
	}
	proposal, err := proto.Marshal(&peer.Proposal{Header: header, Payload: payload})
	if err != nil {
		return nil, err
	}
	signature, err := id.Sign(proposal)
	if err != nil {
		return nil, err
	}
	return &peer.SignedProposal{ProposalBytes: proposal, Signature: signature}, nil
}
