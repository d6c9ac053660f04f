package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"

	"github.com/waybill-dev/waybill/network/disk"
	"github.com/waybill-dev/waybill/network/org"
)

// Options say how a network is made and run. Only Dir is needed.
type Options struct {
	Dir string

	// Topology is used when Dir holds no network yet. Over an existing one, a field that is set and
	// differs is an error, since keys, blocks and peers' build results all hold the old value.
	Topology Topology

	// ChaincodeBinary runs the chaincode. Default: the one used last, else waybill-chaincode beside
	// this program, else bin/waybill-chaincode at or above the working directory.
	ChaincodeBinary string

	// Tools run the nodes. Default: those used last; Up builds them if there are none.
	Tools Tools

	Log      *slog.Logger // default: none
	Progress io.Writer    // a line for each step, for a person; default: none

	// Provision is called once in a network's life, after it is first ready: it founds the
	// consortium. If it fails, or dies half way, it is called again by the next Up. It runs inside
	// Up, so it may ask the network but must not start or stop any of it.
	Provision func(context.Context, *Network) error

	// GatewayConfig returns the content of an organisation's gateway configuration file.
	GatewayConfig func(Client, GatewayPaths) ([]byte, error)
}

// Network is one network's directory and its processes. Its methods may be used from several
// processes at once: those that change the network wait for each other.
type Network struct {
	dir      string
	opts     Options
	topology Topology
	state    state
	log      *slog.Logger
}

// state is network.json.
type state struct {
	Topology        Topology `json:"topology"`
	PackageID       string   `json:"packageID"`
	Tools           Tools    `json:"tools"`
	ChaincodeBinary string   `json:"chaincodeBinary"`
	Provisioned     bool     `json:"provisioned"`
}

// ErrNoNetwork says that a directory holds no network.
var ErrNoNetwork = errors.New("no network here")

// New prepares a network; nothing is written or started before Up.
func New(opts Options) (*Network, error) {
	dir, err := org.CheckDir(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	n := &Network{dir: dir, opts: opts, log: opts.Log}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	err = n.load()
	if errors.Is(err, ErrNoNetwork) {
		n.topology = opts.Topology.withDefaults()
		n.state.Topology = n.topology
		return n, n.topology.Validate()
	}
	if err != nil {
		return nil, err
	}
	return n, n.checkTopology(opts.Topology)
}

// Open opens the network that is in dir; it is ErrNoNetwork if there is none.
func Open(dir string) (*Network, error) {
	n, err := New(Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	return n, n.load()
}

// Dir returns the network's directory.
func (n *Network) Dir() string { return n.dir }

// Topology returns what the network consists of.
func (n *Network) Topology() Topology { return n.topology }

func (n *Network) statePath() string   { return filepath.Join(n.dir, "network.json") }
func (n *Network) genesisPath() string { return filepath.Join(n.dir, "genesis.block") }

func (n *Network) load() error {
	raw, err := os.ReadFile(n.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", n.dir, ErrNoNetwork)
	}
	if err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("read %s: %w", n.statePath(), err)
	}
	if err := s.Topology.Validate(); err != nil {
		return fmt.Errorf("read %s: %w", n.statePath(), err)
	}
	n.state, n.topology = s, s.Topology
	return nil
}

func (n *Network) save() error {
	raw, err := json.MarshalIndent(n.state, "", "  ")
	if err != nil {
		return fmt.Errorf("encode network.json: %w", err)
	}
	return disk.Write(n.statePath(), append(raw, '\n'), 0o644)
}

// checkTopology compares what was asked for with what is there.
func (n *Network) checkTopology(want Topology) error {
	have := n.topology
	differs := func(what string, want, have any) error {
		return fmt.Errorf("the network in %s has %s %v, not %v; reset it first, or use another directory", n.dir, what, have, want)
	}
	switch {
	case want.PortBase != 0 && want.PortBase != have.PortBase:
		return differs("port base", want.PortBase, have.PortBase)
	case want.Channel != "" && want.Channel != have.Channel:
		return differs("channel", want.Channel, have.Channel)
	case want.Chaincode != "" && want.Chaincode != have.Chaincode:
		return differs("chaincode", want.Chaincode, have.Chaincode)
	case len(want.Orgs) != 0 && !reflect.DeepEqual(want.Orgs, have.Orgs):
		return differs("organisations", want.Orgs, have.Orgs)
	}
	return nil
}

// lock keeps other processes from changing the network meanwhile, and refuses a directory with
// something else in it.
func (n *Network) lock(ctx context.Context) (unlock func(), err error) {
	const name = ".lock"
	entries, err := os.ReadDir(n.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ours := len(entries) == 0
	for _, e := range entries {
		ours = ours || e.Name() == "network.json" || e.Name() == name
	}
	if !ours {
		return nil, fmt.Errorf("directory %s holds something that is not a network: %w", n.dir, ErrNoNetwork)
	}
	if unlock, err = disk.Lock(ctx, filepath.Join(n.dir, name)); err != nil {
		return nil, err
	}
	// Whoever had the lock before us may have made or changed it.
	if err := n.load(); err != nil && !errors.Is(err, ErrNoNetwork) {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// step tells a person what is being done.
func (n *Network) step(ctx context.Context, what string) {
	n.log.InfoContext(ctx, what)
	if n.opts.Progress != nil {
		_, _ = fmt.Fprintln(n.opts.Progress, what)
	}
}
