package org

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hyperledger/fabric-admin-sdk/pkg/channel"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"
)

// Health is what can be said about a node from outside.
type Health string

// A node that runs but does not answer is unreachable. One that is far behind
// is catching up, or stands still: Fabric's BFT orderer can stop delivering while
// it goes on answering, and only a restart helps it.
const (
	Running     Health = "running"
	Behind      Health = "behind"
	Stopped     Health = "stopped"
	Unreachable Health = "unreachable"
)

// farBehind is how many blocks a node may miss without being called behind:
// the nodes are not asked at one moment.
const farBehind = 20

// NodeStatus is one node's line of a status report.
type NodeStatus struct {
	Org     string `json:"org"`
	Node    string `json:"node"`
	Kind    Kind   `json:"kind"`
	PID     int    `json:"pid,omitempty"`
	Address string `json:"address"`
	Height  uint64 `json:"height,omitempty"` // blocks held; chaincode has none
	Health  Health `json:"health"`
	// Restarts are those that a supervisor counted.
	Restarts *Restarts `json:"restarts,omitempty"`
}

// statusTimeout bounds the wait for one node's answer.
const statusTimeout = 2 * time.Second

// Status asks every node, all at once. A node that does not answer is part of the report and not
// an error.
func (f *Folder) Status(ctx context.Context) ([]NodeStatus, error) {
	if err := f.load(); err != nil {
		return nil, err
	}
	c, err := f.dial(robot)
	if err != nil {
		return nil, err
	}
	defer c.close()
	nodes := f.Nodes()
	report := make([]NodeStatus, len(nodes))
	var group errgroup.Group
	for i, node := range nodes {
		group.Go(func() error {
			var err error
			report[i], err = f.nodeStatus(ctx, node, c)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	MarkBehind(report)
	restarts, err := f.Restarts()
	for i := range report {
		if r, ok := restarts[report[i].Node]; ok {
			report[i].Restarts = &r
		}
	}
	return report, err
}

// Answers returns when a node that was started answers; an orderer and a peer, once they know the channel. One that ends
// meanwhile is an error.
func (f *Folder) Answers(ctx context.Context, node Node) error {
	c, err := f.dial(robot)
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, startedWithin)
	defer cancel()
	return f.await(ctx, func(ctx context.Context) error {
		_, err := c.height(ctx, node, f.spec.Channel)
		return err
	}, node)
}

// Unsupervised refuses what a supervisor would undo.
func (f *Folder) Unsupervised() error {
	supervised, err := f.supervised()
	if err == nil && supervised {
		err = errors.New("a supervisor (org up --foreground) runs the nodes, and would start again what is stopped: org restart restarts one, and what stops all is to end the supervisor")
	}
	return err
}

// MarkBehind calls those behind that run and miss many blocks that others of the report have.
func MarkBehind(report []NodeStatus) {
	var most uint64
	for _, s := range report {
		most = max(most, s.Height)
	}
	for i := range report {
		if s := &report[i]; s.Health == Running && s.Height > 0 && most-s.Height > farBehind {
			s.Health = Behind
		}
	}
}

func (f *Folder) nodeStatus(ctx context.Context, node Node, c *conn) (NodeStatus, error) {
	s := NodeStatus{Org: node.Org, Node: node.Name, Kind: node.Kind, Address: node.Address, Health: Stopped}
	p, err := readProcess(f.pidPath(node.Name))
	if err != nil || !p.alive() && !f.spec.Elsewhere {
		return s, err
	}
	s.PID, s.Health = p.PID, Unreachable
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if height, err := c.height(ctx, node, f.spec.Channel); err == nil {
		s.Height, s.Health = height, Running
	}
	return s, nil
}

func (c *conn) height(ctx context.Context, node Node, name string) (uint64, error) {
	switch node.Kind {
	case KindOrderer:
		ch, joined, err := c.ordererStatus(ctx, name)
		if err == nil && !joined {
			err = fmt.Errorf("%s has not joined channel %s", node.Name, name)
		}
		return ch.Height, err
	case KindPeer:
		info, err := channel.GetBlockChainInfo(ctx, c.grpc, c.signer, name)
		if err == nil && info.GetHeight() == 0 {
			err = fmt.Errorf("%s has not joined channel %s", node.Name, name)
		}
		return info.GetHeight(), err
	default:
		var d net.Dialer
		door, err := d.DialContext(ctx, "tcp", node.Address)
		if err != nil {
			return 0, err
		}
		return 0, door.Close()
	}
}

// withDetails adds what each peer said, which the gateway keeps apart from its own message.
func withDetails(err error) error {
	for _, d := range status.Convert(err).Details() {
		if e, ok := d.(*gateway.ErrorDetail); ok {
			err = fmt.Errorf("%w; %s (%s): %s", err, e.GetMspId(), e.GetAddress(), e.GetMessage())
		}
	}
	return err
}
