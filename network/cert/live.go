package cert

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/disk"
	"github.com/waybill-dev/waybill/network/org"
)

const (
	// restartTime bounds how long a restarted node may take until it is of use: a peer replays what it has not applied.
	restartTime = 3 * time.Minute
	// still is after which an orderer that is behind and does not move is restarted once more, as a supervisor does
	// (org.Patience): the pinned SmartBFT can stand still after a start.
	still = 30 * time.Second
)

// Live are the options of an organisation whose nodes run here: they are restarted, and its own peer is asked for the
// channel's configuration. Proposals are descriptors, which admin signs.
func Live(f *org.Folder, passphrase func(person string) ([]byte, error)) Options {
	var nodes Nodes // in containers: whoever runs them restarts them
	if !f.Spec().Elsewhere {
		nodes = liveNodes{f}
	}
	return Options{
		MSPID: f.Spec().MSPID, Nodes: nodes,
		Channel: func(ctx context.Context) (Channel, error) { return Ask(ctx, f) },
		Vote:    func(c Changed) (string, error) { return propose(f, c, passphrase) },
		Protect: func(person string, key crypto.PrivateKey) ([]byte, error) {
			if passphrase == nil {
				return nil, provenance.Errorf(provenance.Invalid, "the key of %s is encrypted, and there is nobody to ask for its passphrase", person)
			}
			word, err := passphrase(person)
			if err != nil {
				return nil, err
			}
			// What opens the old key opens the new one: nobody finds out later that it was mistyped.
			if _, err := org.ReadKey(f.Client().People[person].Key, func() ([]byte, error) { return word, nil }); err != nil {
				return nil, err
			}
			return org.EncryptKey(key, word)
		},
	}
}

type liveNodes struct{ folder *org.Folder }

// othersWithin is how long the own orderer is not restarted while another one is away or behind: a supervisor there needs half of
// it to cure one that stands still. Then it is restarted all the same: a certificate that ends would take it away for good.
const othersWithin = time.Minute

// othersDecide waits until every other orderer of the channel is up and has the blocks that the own peer has now: of four,
// one may be away, and one that is behind cannot follow where the own one led. Where nobody can be asked nobody is waited for.
// How high it has to be is taken from nobody else, who could name a height that is never reached.
func othersDecide(ctx context.Context, f *org.Folder) {
	ctx, cancel := context.WithTimeout(ctx, othersWithin)
	defer cancel()
	member, err := connect(f)
	if err != nil {
		return
	}
	defer member.Close() //nolint:errcheck // it was only read from
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var want uint64 // 0 where the peer does not run: to be up is enough then
	if report, err := f.Status(ctx); err == nil {
		want = of(report, org.KindPeer).Height
	}
	for {
		config, _, err := member.Current(ctx)
		if err != nil {
			return
		}
		down, downErr := member.Down(ctx, config, f.Spec().MSPID)
		heights, err := member.Heights(ctx, config, f.Spec().MSPID)
		if errors.Join(downErr, err) == nil && len(down) == 0 && level(heights, want) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// level tells whether all have so many blocks.
func level(heights map[string]uint64, want uint64) bool {
	for _, height := range heights {
		if height < want {
			return false
		}
	}
	return true
}

// of is the first node of a kind; the zero value where there is none.
func of(report []org.NodeStatus, kind org.Kind) org.NodeStatus {
	if i := slices.IndexFunc(report, func(s org.NodeStatus) bool { return s.Kind == kind }); i >= 0 {
		return report[i]
	}
	return org.NodeStatus{}
}

// Restart implements Nodes.
func (l liveNodes) Restart(ctx context.Context, kind string) error {
	if kind == Orderer {
		othersDecide(ctx, l.folder)
	}
	ctx, cancel := context.WithTimeout(ctx, restartTime)
	defer cancel()
	report, err := l.folder.Status(ctx)
	if err != nil {
		return err
	}
	var names []string // an upgrade has two chaincode processes
	for _, s := range report {
		if string(s.Kind) == kind && s.PID != 0 {
			names = append(names, s.Node)
		}
	}
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if err := l.folder.Stop(ctx, name); err != nil {
			return err
		}
		if err := l.folder.Start(ctx, name); err != nil {
			return err
		}
	}
	if kind != Orderer {
		return l.folder.Endorses(ctx)
	}
	return awaitOrderer(ctx, l.folder)
}

// awaitOrderer returns when the orderer answers and has what the own peer has.
func awaitOrderer(ctx context.Context, f *org.Folder) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var height uint64
	moved := time.Now()
	for {
		report, err := f.Status(ctx)
		if err == nil {
			orderer, peer := of(report, org.KindOrderer), of(report, org.KindPeer)
			if orderer.Height != height {
				height, moved = orderer.Height, time.Now()
			}
			if orderer.Height < peer.Height && time.Since(moved) > still {
				if err := errors.Join(f.Stop(ctx, orderer.Node), f.Start(ctx, orderer.Node)); err != nil {
					return err
				}
				moved = time.Now()
			}
			relation := "unknown"
			if orderer.Health == org.Running && orderer.Height >= peer.Height {
				if relation, err = consensusRelation(ctx, f); err == nil && relation == "consenter" {
					return nil
				}
			}
			err = errors.Join(fmt.Errorf("the orderer is %s at height %d, the peer at %d; to the channel it is %s", orderer.Health, orderer.Height, peer.Height, relation), err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// consensusRelation asks the orderer what it takes itself for in the channel: one that does not find its own certificate
// among the consenters follows, and decides nothing.
func consensusRelation(ctx context.Context, f *org.Folder) (string, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(f.Dir(), "orderer", "admin", "client.crt"), filepath.Join(f.Dir(), "orderer", "admin", "client.key"))
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	raw, err := os.ReadFile(f.Client().PeerTLSCA)
	if err != nil {
		return "", err
	}
	roots.AppendCertsFromPEM(raw)
	spec := f.Spec()
	// It listens on this host alone, and a PKI need not put that into the certificate: the announced name is in it.
	name, _, err := net.SplitHostPort(spec.Announce.Orderer)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+spec.Listen.OrdererAdmin+"/participation/v1/channels/"+spec.Channel, nil)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read from
	var says struct {
		ConsensusRelation string `json:"consensusRelation"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&says)
	return says.ConsensusRelation, err
}

// Ask asks the organisation's own peer for the channel's configuration, as its robot.
func Ask(ctx context.Context, f *org.Folder) (Channel, error) {
	config, err := askConfig(ctx, f)
	if err != nil {
		return Channel{}, provenance.Wrap(provenance.Unavailable, err, "ask %s's peer", f.Spec().Name)
	}
	return ReadChannel(config)
}

// connect speaks to the channel through the organisation's own peer, as its robot.
func connect(f *org.Folder) (*channel.Member, error) {
	spec, me := f.Spec(), f.Client()
	robot := me.People[Gateway]
	s, err := channel.ReadSigner(spec.MSPID, robot.Cert, robot.Key, nil)
	if err != nil {
		return nil, err
	}
	return channel.Connect(spec.Channel, s, me.PeerAddress, me.PeerTLSCA)
}

func askConfig(ctx context.Context, f *org.Folder) (*common.Config, error) {
	member, err := connect(f)
	if err != nil {
		return nil, err
	}
	defer member.Close() //nolint:errcheck // it was only read from
	config, _, err := member.Current(ctx)
	return config, err
}

// What members vote on: the commands that put a descriptor to the vote.
const (
	voteOrderer = "orderer-update"
	voteOrg     = "org-update"
)

// propose writes the organisation's descriptor as it is to become.
func propose(f *org.Folder, c Changed, passphrase func(string) ([]byte, error)) (string, error) {
	d, err := f.Descriptor()
	if err != nil {
		return "", err
	}
	kind := voteOrg
	if c.OrdererIdentity != nil {
		kind = voteOrderer
		d.Orderer.Identity = oneBlock(c.OrdererIdentity)
	}
	if c.Roots != nil {
		d.Roots, d.TLSRoots = texts(c.Roots), texts(c.TLSRoots)
		d.RevocationLists = slices.DeleteFunc(d.RevocationLists, func(list string) bool { return !signedByOne(list, d.Roots) })
	}
	if c.RevocationLists != nil {
		d.RevocationLists = texts(c.RevocationLists)
	}
	me := f.Client().People["admin"]
	cert, err := readCert(me.Cert)
	if err != nil {
		return "", err
	}
	key, err := org.ReadKey(me.Key, func() ([]byte, error) {
		if passphrase == nil {
			return nil, errors.New("the key of admin is encrypted, and there is nobody to ask for its passphrase")
		}
		return passphrase("admin")
	})
	if err != nil {
		return "", err
	}
	file, err := channel.Sign(d, cert, key)
	if err != nil {
		return "", err
	}
	folder, err := Open(f.Dir())
	if err != nil {
		return "", err
	}
	to := folder.at("channel", "proposed.json")
	if err := disk.Write(to, file, 0o644); err != nil {
		return "", err
	}
	return fmt.Sprintf("waybill channel propose %s %s; once it is in force, run this command again", kind, to), nil
}

func texts(all [][]byte) []string {
	out := make([]string, len(all))
	for i, b := range all {
		out[i] = oneBlock(b)
	}
	return out
}

// oneBlock writes the first PEM block in the one way in which descriptors have them.
func oneBlock(raw []byte) string {
	block, _ := pem.Decode(raw)
	if block == nil {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
}

func signedByOne(list string, roots []string) bool {
	for _, l := range parseLists([][]byte{[]byte(list)}) {
		for _, root := range roots {
			if certs, err := parseCerts([]byte(root)); err == nil && l.CheckSignatureFrom(certs[0]) == nil {
				return true
			}
		}
	}
	return false
}
