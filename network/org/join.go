package org

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hyperledger/fabric-admin-sdk/pkg/chaincode"
	"github.com/hyperledger/fabric-admin-sdk/pkg/channel"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/disk"
)

// Join gives the folder the channel's first block, for good, and makes orderer and peer members of
// the channel. Another block than the one that is there is an error: nothing here is ever in two.
func (f *Folder) Join(ctx context.Context, genesis []byte) error {
	if err := f.keepGenesis(ctx, genesis, false); err != nil {
		return err
	}
	return f.Up(ctx)
}

// JoinRunning is Join where somebody else runs the nodes, in containers for one: they are asked, and
// not started. From then on the folder knows, and starts none: see ErrElsewhere.
func (f *Folder) JoinRunning(ctx context.Context, genesis []byte) error {
	if err := f.keepGenesis(ctx, genesis, true); err != nil {
		return err
	}
	return f.join(ctx)
}

func (f *Folder) keepGenesis(ctx context.Context, genesis []byte, elsewhere bool) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	have, err := os.ReadFile(f.GenesisPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := disk.Write(f.GenesisPath(), genesis, 0o644); err != nil {
			return err
		}
	case err != nil:
		return err
	case !bytes.Equal(have, genesis):
		return fmt.Errorf("%s has joined by another first block, %s", f.spec.Name, f.GenesisPath())
	}
	if f.spec.Elsewhere == elsewhere {
		return nil
	}
	if elsewhere {
		if err := f.noneRuns(); err != nil {
			return err
		}
	}
	f.spec.Elsewhere = elsewhere
	return f.save()
}

// noneRuns refuses to call nodes somebody else's that run here.
func (f *Folder) noneRuns() error {
	for _, n := range f.Nodes() {
		p, err := readProcess(f.pidPath(n.Name))
		if err != nil {
			return err
		}
		if p.alive() {
			return fmt.Errorf("%s runs on this host (pid %d): stop it first, with org down", n.Name, p.PID)
		}
	}
	return nil
}

// join makes the orderer and the peer members of the channel and puts the chaincode's
// package on the peer. Orderer and peer do not wait for each other. An admin is only needed for
// what has not been done.
func (f *Folder) join(ctx context.Context) error {
	genesis, err := os.ReadFile(f.GenesisPath())
	if err != nil {
		return err
	}
	c, err := f.dial(robot)
	if err != nil {
		return err
	}
	defer c.close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return f.await(ctx, func(ctx context.Context) error {
			return c.joinOrderer(ctx, f.spec.Channel, genesis)
		}, f.node(KindOrderer))
	})
	group.Go(func() error {
		if err := f.joinPeerOnce(ctx, c, f.spec.Channel, genesis); err != nil {
			return err
		}
		if err := f.joinBefore(ctx, c); err != nil {
			return err
		}
		if err := f.install(ctx, f.spec.Contract); err != nil || f.spec.Next == nil {
			return err
		}
		return f.install(ctx, *f.spec.Next)
	})
	return group.Wait()
}

// joinBefore has the peer hold the ledger of the channel before as well, which what came before is read from. A peer
// that lost it reads it from the orderers of those who are left, who go on handing out its blocks.
func (f *Folder) joinBefore(ctx context.Context, c *conn) error {
	if f.spec.After == nil {
		return nil
	}
	raw, err := os.ReadFile(f.at("channel", f.spec.After.Channel+".block"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it came later, and was never in that one
	}
	if err != nil {
		return err
	}
	return f.joinPeerOnce(ctx, c, f.spec.After.Channel, raw)
}

func (f *Folder) joinPeerOnce(ctx context.Context, c *conn, name string, genesis []byte) error {
	var joined bool
	err := f.await(ctx, func(ctx context.Context) (err error) {
		joined, err = c.peerJoined(ctx, name)
		return err
	}, f.node(KindPeer))
	if err != nil || joined {
		return err
	}
	return f.joinPeer(ctx, name, genesis)
}

func (f *Folder) joinPeer(ctx context.Context, name string, raw []byte) error {
	genesis := &common.Block{}
	if err := proto.Unmarshal(raw, genesis); err != nil {
		return fmt.Errorf("read %s: %w", f.GenesisPath(), err)
	}
	c, err := f.dial(admin)
	if err != nil {
		return err
	}
	defer c.close()
	return f.await(ctx, func(ctx context.Context) error {
		// The answer to an earlier try may have been lost.
		joined, err := c.peerJoined(ctx, name)
		if err != nil || joined {
			return err
		}
		if err := channel.JoinChannel(ctx, c.grpc, c.signer, genesis); err != nil {
			return fmt.Errorf("join channel %s: %w", name, err)
		}
		return nil
	}, f.node(KindPeer))
}

// install puts the package of a version on the peer, unless it is remembered to be there.
func (f *Folder) install(ctx context.Context, version Contract) error {
	// It lies in the peer's data, to be lost together with what it says.
	done := f.at("peer", "data", "installed-"+strings.ReplaceAll(version.PackageID, ":", "-"))
	have, err := disk.Exists(done)
	if err != nil || have {
		return err
	}
	pkg, err := os.ReadFile(f.packagePath(version))
	if err != nil {
		return err
	}
	c, err := f.dial(admin)
	if err != nil {
		return err
	}
	defer c.close()
	err = f.await(ctx, func(ctx context.Context) error { return c.install(ctx, version.PackageID, pkg) }, f.node(KindPeer))
	if err != nil {
		return err
	}
	return disk.Write(done, nil, 0o600)
}

// await polls until the nodes have done what was asked of them, and stops when one of them died.
// The first is the one that is asked.
func (f *Folder) await(ctx context.Context, try func(context.Context) error, nodes ...Node) error {
	err := poll(ctx, func(ctx context.Context) error {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		err := try(attempt)
		if err == nil {
			return nil
		}
		for _, node := range nodes {
			if f.spec.Elsewhere {
				break
			}
			if p, readErr := readProcess(f.pidPath(node.Name)); readErr == nil && !p.alive() {
				log := f.LogPath(node.Name)
				return hopeless{fmt.Errorf("%s has ended; the last lines of %s:\n%s", node.Name, log, tail(log))}
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", nodes[0].Name, err)
	}
	return nil
}

// attemptTimeout bounds one try of await; it is longer than a peer's chaincode.startuptimeout.
const attemptTimeout = 20 * time.Second

// tail returns the last lines of a log.
func tail(file string) string {
	const lines, most = 12, 8 << 10
	raw, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	raw = raw[max(0, len(raw)-most):]
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// ordererChannel is what an orderer says about a channel it is in.
type ordererChannel struct {
	Status string `json:"status"` // active, onboarding, …
	Height uint64 `json:"height"`
}

func (c *conn) ordererStatus(ctx context.Context, name string) (ch ordererChannel, joined bool, err error) {
	url := "https://" + c.adminAddr + "/participation/v1/channels/" + name
	status, body, err := c.ask(ctx, http.MethodGet, url, "", nil)
	switch {
	case err != nil:
		return ordererChannel{}, false, err
	case status == http.StatusNotFound:
		return ordererChannel{}, false, nil
	case status != http.StatusOK:
		return ordererChannel{}, false, fmt.Errorf("ask about channel %s: HTTP %d: %s", name, status, body)
	}
	if err := json.Unmarshal(body, &ch); err != nil {
		return ordererChannel{}, false, fmt.Errorf("ask about channel %s: %w", name, err)
	}
	return ch, true, nil
}

func (c *conn) joinOrderer(ctx context.Context, name string, genesis []byte) error {
	ch, joined, err := c.ordererStatus(ctx, name)
	if err != nil {
		return err
	}
	if joined {
		if ch.Status != "active" {
			return fmt.Errorf("channel %s is %s", name, ch.Status)
		}
		return nil
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("config-block", "genesis.block")
	if err != nil {
		return err
	}
	if _, err := part.Write(genesis); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	url := "https://" + c.adminAddr + "/participation/v1/channels"
	status, body, err := c.ask(ctx, http.MethodPost, url, w.FormDataContentType(), &form)
	if err != nil {
		return err
	}
	// 405: it has joined already, and the next try sees it.
	if status != http.StatusCreated && status != http.StatusMethodNotAllowed {
		return hopeless{fmt.Errorf("join channel %s: HTTP %d: %s", name, status, body)}
	}
	return nil
}

func (c *conn) ask(ctx context.Context, method, url, contentType string, body io.Reader) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close() //nolint:errcheck // nothing is lost by it
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, answer, err
}

func (c *conn) peerJoined(ctx context.Context, name string) (bool, error) {
	channels, err := channel.ListChannelOnPeer(ctx, c.grpc, c.signer)
	if err != nil {
		return false, fmt.Errorf("list channels: %w", err)
	}
	for _, ch := range channels {
		if ch.GetChannelId() == name {
			return true, nil
		}
	}
	return false, nil
}

func (c *conn) install(ctx context.Context, id string, pkg []byte) error {
	peer := chaincode.NewPeer(c.grpc, c.signer)
	installed, err := peer.QueryInstalled(ctx)
	if err != nil {
		return fmt.Errorf("list installed chaincode: %w", err)
	}
	for _, cc := range installed.GetInstalledChaincodes() {
		if cc.GetPackageId() == id {
			return nil
		}
	}
	result, err := peer.Install(ctx, bytes.NewReader(pkg))
	if err != nil {
		return fmt.Errorf("install chaincode: %w", err)
	}
	if result.GetPackageId() != id {
		return hopeless{fmt.Errorf("install chaincode: the peer calls it %s, we %s", result.GetPackageId(), id)}
	}
	return nil
}
