package network

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Kind is what a node does.
type Kind string

// The kinds of node, of which every organisation has one each.
const (
	KindOrderer   Kind = "orderer"
	KindPeer      Kind = "peer"
	KindChaincode Kind = "chaincode"
)

// stopGrace is how long a node may take to close its ledgers before it is killed.
const stopGrace = 10 * time.Second

// Node is one process of the network.
type Node struct {
	Name    string // vendor-peer
	Org     string
	Kind    Kind
	Address string

	org   int
	ports []int // everything it listens on
}

// Nodes returns the network's nodes in starting order: orderers, peers, chaincode.
func (n *Network) Nodes() []Node {
	var nodes []Node
	for _, kind := range []Kind{KindOrderer, KindPeer, KindChaincode} {
		for i, o := range n.topology.Orgs {
			nodes = append(nodes, n.node(i, o, kind))
		}
	}
	return nodes
}

func (n *Network) node(i int, o Org, kind Kind) Node {
	p := n.topology.Ports(i)
	node := Node{Name: o.Name + "-" + string(kind), Org: o.Name, Kind: kind, org: i}
	switch kind {
	case KindOrderer:
		node.ports = []int{p.Orderer, p.OrdererAdmin, p.OrdererOps}
	case KindPeer:
		node.ports = []int{p.Peer, p.PeerOps, p.PeerChaincode}
	case KindChaincode:
		node.ports = []int{p.Chaincode}
	}
	node.Address = address(node.ports[0])
	return node
}

func (n *Network) find(name string) (Node, error) {
	for _, node := range n.Nodes() {
		if node.Name == name {
			return node, nil
		}
	}
	return Node{}, fmt.Errorf("no node %q in this network", name)
}

func (n *Network) orgNodes(org string) ([]Node, error) {
	i, err := n.topology.index(org)
	if err != nil {
		return nil, err
	}
	o := n.topology.Orgs[i]
	return []Node{n.node(i, o, KindOrderer), n.node(i, o, KindPeer), n.node(i, o, KindChaincode)}, nil
}

// LogPath returns the file a node writes its log to.
func (n *Network) LogPath(node string) string { return filepath.Join(n.dir, "logs", node+".log") }

func (n *Network) pidPath(node string) string { return filepath.Join(n.dir, "run", node+".json") }

// StartNode starts a node if it is stopped. It does not wait until the node is of use.
func (n *Network) StartNode(ctx context.Context, name string) error {
	node, err := n.find(name)
	if err != nil {
		return err
	}
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return n.startNodes(ctx, []Node{node})
}

// startNodes starts those that are stopped. All ports are looked at before anything is started,
// so that a clash does not leave half a network behind.
func (n *Network) startNodes(ctx context.Context, nodes []Node) error {
	stopped, err := n.stopped(nodes)
	if err != nil {
		return err
	}
	for _, node := range stopped {
		if err := n.startNode(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// stopped returns those of the nodes that do not run, once it is sure that they could.
func (n *Network) stopped(nodes []Node) ([]Node, error) {
	var stopped []Node
	for _, node := range nodes {
		p, err := readProcess(n.pidPath(node.Name))
		if err != nil {
			return nil, err
		}
		if p.alive() {
			continue
		}
		for _, port := range node.ports {
			if err := checkPort(port, node.Name); err != nil {
				return nil, err
			}
		}
		stopped = append(stopped, node)
	}
	return stopped, nil
}

func (n *Network) startNode(ctx context.Context, node Node) error {
	name := node.Name
	bin, args, env := n.command(node)
	dir := n.orgDir(node.Org).at(string(node.Kind))
	p, err := start(bin, args, env, dir, n.LogPath(name), n.pidPath(name))
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	n.log.InfoContext(ctx, "node started", slog.String("node", name), slog.Int("pid", p.PID))
	return nil
}

// command says how a node is run. The environment is built from nothing but PATH: a CORE_ or
// ORDERER_ variable of the caller's shell would silently override the node's configuration.
func (n *Network) command(node Node) (bin string, args, env []string) {
	d := n.orgDir(node.Org)
	dir := d.at(string(node.Kind))
	// The format is Fabric's own without its terminal colours.
	env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "FABRIC_LOGGING_FORMAT=" + logFormat}
	switch node.Kind {
	case KindOrderer:
		return n.state.Tools.Orderer, nil, append(env, "FABRIC_CFG_PATH="+dir, "FABRIC_LOGGING_SPEC="+ordererLogs)
	case KindPeer:
		return n.state.Tools.Peer, []string{"node", "start"},
			append(env, "FABRIC_CFG_PATH="+dir, "FABRIC_LOGGING_SPEC="+peerLogs)
	default:
		return n.state.ChaincodeBinary, nil, append(env,
			"CHAINCODE_SERVER_ADDRESS="+node.Address,
			"CORE_CHAINCODE_ID_NAME="+n.state.PackageID,
			"CORE_PEER_LOCALMSPID="+n.topology.Orgs[node.org].MSPID,
			"CORE_PEER_TLS_ENABLED=true",
			"CORE_TLS_CLIENT_KEY_FILE="+filepath.Join(dir, "server.key"),
			"CORE_TLS_CLIENT_CERT_FILE="+filepath.Join(dir, "server.crt"),
			"CORE_PEER_TLS_ROOTCERT_FILE="+filepath.Join(dir, "ca.crt"),
		)
	}
}

// At info, a loaded node logs several lines a transaction. What explains a failure is a warning.
const (
	logFormat   = "%{time:2006-01-02T15:04:05.000Z07:00} %{level:.4s} [%{module}] %{shortfunc} -> %{message}"
	peerLogs    = "warning:chaincode.externalbuilder=info:nodeCmd=info:msp=error"
	ordererLogs = "warning:orderer.common.server=info:msp=error"
)

// Kill sends a signal to a node, and after SIGKILL waits until the process is gone. A node that is
// stopped already is not an error.
func (n *Network) Kill(ctx context.Context, node string, sig syscall.Signal) error {
	if _, err := n.find(node); err != nil {
		return err
	}
	p, err := readProcess(n.pidPath(node))
	if err != nil {
		return err
	}
	if err := p.signal(sig); err != nil {
		return fmt.Errorf("kill %s: %w", node, err)
	}
	if sig != syscall.SIGKILL {
		return nil
	}
	return p.gone(ctx)
}

// stopNode ends a node and forgets its process.
func (n *Network) stopNode(ctx context.Context, node Node) error {
	p, err := readProcess(n.pidPath(node.Name))
	if err != nil {
		return err
	}
	if err := p.stop(ctx, stopGrace); err != nil {
		return fmt.Errorf("stop %s: %w", node.Name, err)
	}
	if p.PID != 0 {
		n.log.InfoContext(ctx, "node stopped", slog.String("node", node.Name))
	}
	if err := os.Remove(n.pidPath(node.Name)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
