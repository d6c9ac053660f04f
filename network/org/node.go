package org

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/network/disk"
)

// Kind is what a node does.
type Kind string

// The kinds of node. An organisation has one of each; of chaincode two while it upgrades.
const (
	KindOrderer   Kind = "orderer"
	KindPeer      Kind = "peer"
	KindChaincode Kind = "chaincode"
	KindGateway   Kind = "gateway"
)

// stopGrace is how long a node may take to close its ledgers before it is killed.
const stopGrace = 10 * time.Second

// Node is one process of the organisation.
type Node struct {
	Name    string // vendor-peer
	Org     string
	Kind    Kind
	Address string // where this host reaches it

	listens  []string  // everything it listens on
	contract *Contract // of chaincode: what it runs
}

// Nodes returns the organisation's nodes in starting order. The gateway is one of them where its
// program is configured.
func (f *Folder) Nodes() []Node {
	s := f.spec
	node := func(kind Kind, address string, listens ...string) Node {
		return Node{Name: s.Name + "-" + string(kind), Org: s.Name, Kind: kind, Address: address, listens: listens}
	}
	nodes := []Node{
		node(KindOrderer, s.Announce.Orderer, s.Listen.Orderer, s.Listen.OrdererAdmin, s.Listen.OrdererOperations),
		node(KindPeer, s.Announce.Peer, s.Listen.Peer, s.Listen.PeerOperations, s.Listen.PeerChaincode),
		f.contractNode(s.Contract),
	}
	if s.Next != nil {
		nodes = append(nodes, f.contractNode(*s.Next))
	}
	if s.Programs.Gateway != "" {
		nodes = append(nodes, node(KindGateway, s.Announce.Gateway, s.Listen.Gateway, s.Listen.GatewayMetrics, s.Listen.Hooks))
	}
	return nodes
}

// contractNode is the process of a version of the chaincode. All but the first are named by their version.
func (f *Folder) contractNode(c Contract) Node {
	name := f.spec.Name + "-" + string(KindChaincode)
	if c.Version != FirstVersion {
		name += "-" + c.Version
	}
	address := f.contractAddress(c)
	return Node{Name: name, Org: f.spec.Name, Kind: KindChaincode, Address: address, listens: []string{address}, contract: &c}
}

// contractAddress is where the process of a version of the chaincode listens.
func (f *Folder) contractAddress(c Contract) string {
	if c.Listen != "" {
		return c.Listen
	}
	return f.spec.Listen.Chaincode
}

// node returns the first node of a kind.
func (f *Folder) node(kind Kind) Node {
	for _, n := range f.Nodes() {
		if n.Kind == kind {
			return n
		}
	}
	return Node{}
}

// Find returns the node of a name: vendor-peer, or peer alone.
func (f *Folder) Find(name string) (Node, error) {
	for _, node := range f.Nodes() {
		if node.Name == name || node.Name == f.spec.Name+"-"+name {
			return node, nil
		}
	}
	return Node{}, fmt.Errorf("no node %q in this organisation", name)
}

// LogPath returns the file a node writes its log to.
func (f *Folder) LogPath(node string) string { return f.at("logs", node+".log") }

func (f *Folder) pidPath(node string) string { return f.at("run", node+".json") }

// Start starts those of the nodes that are stopped, or all when none is named. It does not wait
// until they are of use. All ports are looked at before anything is started, so that a clash does
// not leave half an organisation behind. Where a supervisor runs, it is the one who starts them, and is
// waited for: a second process would take the ports from its own.
func (f *Folder) Start(ctx context.Context, names ...string) error {
	if f.spec.Elsewhere {
		return ErrElsewhere
	}
	if supervised, err := f.supervised(); err != nil || supervised {
		if err != nil {
			return err
		}
		return f.awaitStarted(ctx, names)
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	nodes, err := f.named(names)
	if err != nil {
		return err
	}
	stopped, err := f.stopped(nodes)
	if err != nil {
		return err
	}
	for _, node := range stopped {
		if err := f.startNode(ctx, node); err != nil {
			return err
		}
	}
	return f.startKeeper()
}

// startedWithin is how long a supervisor may take to start what was stopped: its longest pause, and some.
const startedWithin = 90 * time.Second

// awaitStarted waits until the supervisor has started the nodes.
func (f *Folder) awaitStarted(ctx context.Context, names []string) error {
	nodes, err := f.named(names)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startedWithin)
	defer cancel()
	return poll(ctx, func(context.Context) error {
		for _, node := range nodes {
			p, err := readProcess(f.pidPath(node.Name))
			if err != nil {
				return err
			}
			if !p.alive() {
				return fmt.Errorf("the supervisor has not started %s yet", node.Name)
			}
		}
		return nil
	})
}

func (f *Folder) named(names []string) ([]Node, error) {
	if len(names) == 0 {
		return f.Nodes(), nil
	}
	var nodes []Node
	for _, name := range names {
		node, err := f.Find(name)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// CheckPorts says which port of a stopped node something else listens on.
func (f *Folder) CheckPorts() error {
	_, err := f.stopped(f.Nodes())
	return err
}

// stopped returns those of the nodes that do not run, once it is sure that they could.
func (f *Folder) stopped(nodes []Node) ([]Node, error) {
	var stopped []Node
	for _, node := range nodes {
		p, err := readProcess(f.pidPath(node.Name))
		if err != nil {
			return nil, err
		}
		if p.alive() {
			continue
		}
		for _, address := range node.listens {
			if err := checkListen(address, node.Name); err != nil {
				return nil, err
			}
		}
		stopped = append(stopped, node)
	}
	return stopped, nil
}

func (f *Folder) startNode(ctx context.Context, node Node) error {
	cmd, err := f.command(ctx, node)
	if err != nil {
		return fmt.Errorf("start %s: %w", node.Name, err)
	}
	p, err := start(cmd, f.LogPath(node.Name), f.pidPath(node.Name))
	if err != nil {
		return fmt.Errorf("start %s: %w", node.Name, err)
	}
	f.log.InfoContext(ctx, "node started", slog.String("node", node.Name), slog.Int("pid", p.PID))
	return nil
}

// command says how a node is run. The environment is built from nothing but PATH: a CORE_ or
// ORDERER_ variable of the caller's shell would silently override the node's configuration.
func (f *Folder) command(ctx context.Context, node Node) (*exec.Cmd, error) {
	dir := f.at(string(node.Kind))
	// The format is Fabric's own without its terminal colours.
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "FABRIC_LOGGING_FORMAT=" + logFormat}
	var cmd *exec.Cmd
	switch node.Kind {
	case KindOrderer:
		cmd = exec.Command(f.spec.Programs.Orderer)
		env = append(env, "FABRIC_CFG_PATH="+dir, "FABRIC_LOGGING_SPEC="+ordererLogs)
	case KindPeer:
		cmd = exec.Command(f.spec.Programs.Peer, "node", "start")
		env = append(env, "FABRIC_CFG_PATH="+dir, "FABRIC_LOGGING_SPEC="+peerLogs)
	case KindGateway:
		if err := f.initGateway(ctx, env); err != nil {
			return nil, err
		}
		cmd = exec.Command(f.spec.Programs.Gateway, "run", "--config", f.gatewayPaths().Config)
	default:
		cmd = exec.Command(node.contract.Program)
		env = append(env,
			"CHAINCODE_SERVER_ADDRESS="+node.Address,
			"CORE_CHAINCODE_ID_NAME="+node.contract.PackageID,
			"CORE_PEER_LOCALMSPID="+f.spec.MSPID,
			"CORE_PEER_TLS_ENABLED=true",
			"CORE_TLS_CLIENT_KEY_FILE="+filepath.Join(dir, "server.key"),
			"CORE_TLS_CLIENT_CERT_FILE="+filepath.Join(dir, "server.crt"),
			"CORE_PEER_TLS_ROOTCERT_FILE="+filepath.Join(dir, "ca.crt"),
		)
	}
	cmd.Dir, cmd.Env = dir, env
	return cmd, nil
}

// At info, a loaded node logs several lines a transaction. What explains a failure is a warning.
const (
	logFormat   = "%{time:2006-01-02T15:04:05.000Z07:00} %{level:.4s} [%{module}] %{shortfunc} -> %{message}"
	peerLogs    = "warning:chaincode.externalbuilder=info:nodeCmd=info:msp=error"
	ordererLogs = "warning:orderer.common.server=info:msp=error"
)

// initGateway makes the gateway's databases the first time. Never again: a queue that is lost is
// to be missed, not replaced by an empty one.
func (f *Folder) initGateway(ctx context.Context, env []string) error {
	done := f.at("gateway", ".initialised")
	have, err := disk.Exists(done)
	if err != nil || have {
		return err
	}
	cmd := exec.CommandContext(ctx, f.spec.Programs.Gateway, "init", "--config", f.gatewayPaths().Config)
	cmd.Dir, cmd.Env = f.at("gateway"), env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make the gateway's databases: %w\n%s", err, out)
	}
	return disk.Write(done, nil, 0o600)
}

// Kill sends a signal to a node, and after SIGKILL waits until the process is gone. A node that is
// stopped already is not an error.
func (f *Folder) Kill(ctx context.Context, node string, sig syscall.Signal) error {
	found, err := f.Find(node)
	if err != nil {
		return err
	}
	p, err := readProcess(f.pidPath(found.Name))
	if err != nil {
		return err
	}
	if err := p.signal(sig); err != nil {
		return fmt.Errorf("kill %s: %w", found.Name, err)
	}
	if sig != syscall.SIGKILL {
		return nil
	}
	return p.gone(ctx)
}

// stopNode ends a node and forgets its process.
func (f *Folder) stopNode(ctx context.Context, name string, grace time.Duration) error {
	p, err := readProcess(f.pidPath(name))
	if err != nil {
		return err
	}
	if err := p.stop(ctx, grace); err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	if p.PID != 0 {
		f.log.InfoContext(ctx, "node stopped", slog.String("node", name))
	}
	if now, err := readProcess(f.pidPath(name)); err != nil || now != p {
		return err // a supervisor has started it again
	}
	if err := os.Remove(f.pidPath(name)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
