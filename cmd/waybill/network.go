package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/network"
)

// localNetwork is *network.Network, or a test's fake.
type localNetwork interface {
	starter
	nodes
	plan
}

// starter starts and ends a network.
type starter interface {
	Up(ctx context.Context) error
	Down(ctx context.Context) error
	Reset(ctx context.Context) error
}

// nodes are the processes of a network.
type nodes interface {
	Nodes() []network.Node
	Status(ctx context.Context) ([]network.NodeStatus, error)
	LogPath(node string) string
}

// plan is what a network is made of, and who can reach it.
type plan interface {
	Topology() network.Topology
	Clients() network.Clients
}

func newNetworkCmd(a *app) *cobra.Command {
	cmd := parentCmd("network", "A whole network on this machine, to try and to test")
	cmd.Example = examples(`waybill network up`, `waybill network status`, `waybill network down`)
	cmd.Long = "Run a whole network on this machine: four organisations, each with a peer, an\norderer and a chaincode process, in the folder that --dir names. --timeout does\nnot apply."
	cmd.AddCommand(newNetworkUpCmd(a), newNetworkStatusCmd(a), newNetworkDownCmd(a), newNetworkResetCmd(a), newNetworkLogsCmd(a), newNetworkToolsCmd(a))
	return cmd
}

// open opens the network that is in the folder.
func (a *app) open() (localNetwork, error) {
	n, err := a.backends.open(a.dir)
	if errors.Is(err, network.ErrNoNetwork) {
		return nil, hint(fmt.Errorf("there is no network in %s", a.dir), "make one with: waybill network up --dir %s", a.dir)
	}
	return n, err
}

func newNetworkUpCmd(a *app) *cobra.Command {
	var portBase int
	cmd := &cobra.Command{
		Use: "up", Short: "Make what is missing, start what is stopped, return when ready", Args: operands(),
		Example: examples(`waybill network up`, `waybill network up --dir /srv/waybill --port-base 9000`),
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			n, err := a.backends.network(a.dir, portBase, a.errOut)
			if err != nil {
				return err
			}
			start := time.Now()
			if err := n.Up(ctx); err != nil {
				var taken *network.PortTakenError
				if errors.As(err, &taken) {
					return err // says itself what to do
				}
				return hint(err, "see what runs with: waybill network status; what a node says with: waybill network logs NODE")
			}
			fmt.Fprintf(a.errOut, "ready in %.0f s\n", time.Since(start).Seconds())
			return a.emit(n.Clients(), func(w io.Writer) { a.writeUp(w, n) })
		}),
	}
	cmd.Flags().IntVar(&portBase, "port-base", 0, fmt.Sprintf("first of the ports of a new network (default %d)", network.DefaultPortBase))
	return cmd
}

func (a *app) writeUp(w io.Writer, n localNetwork) {
	t := table("ORGANISATION", "MSP", "PEER", "GATEWAY API", "GATEWAY INTAKE")
	clients := n.Clients()
	for i, o := range clients.Orgs {
		intake := fmt.Sprintf("http://%s:%d/hooks/", network.Host, n.Topology().Ports(i).GatewayIntake)
		t.row(o.Org, o.MSPID, o.PeerAddress, o.GatewayAddress, intake)
	}
	t.write(w, "")
	if len(clients.Orgs) == 0 {
		return
	}
	fmt.Fprintf(w, "\nstart the gateway of an organisation (init the first time only):\n")
	for _, o := range clients.Orgs {
		fmt.Fprintf(w, "  %[1]s init --config %[2]s && %[1]s run --config %[2]s\n", a.siblingProgram("waybill-gateway"), a.gatewayConfig(o.Org))
	}
	fmt.Fprintf(w, "\nlook: %s status --dir %s\n", a.siblingProgram("waybill"), a.dir)
	fmt.Fprintf(w, "stop: %s network down --dir %s\n", a.siblingProgram("waybill"), a.dir)
}

func newNetworkStatusCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show every node: process, address, height, health", Args: operands(),
		Example: examples(`waybill network status`),
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			n, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := n.Status(ctx)
			if err != nil {
				return err
			}
			return a.emit(nodes, func(w io.Writer) { writeNodes(w, nodes) })
		}),
	}
}

func writeNodes(w io.Writer, nodes []network.NodeStatus) {
	t := table("ORGANISATION", "NODE", "PID", "ADDRESS", "HEIGHT", "HEALTH")
	stopped, behind := 0, 0
	for _, s := range nodes {
		pid, height := "-", "-"
		if s.PID > 0 {
			pid = number(s.PID)
		}
		if s.Height > 0 {
			height = number(s.Height)
		}
		switch s.Health {
		case network.Running:
		case network.Behind:
			behind++
		default:
			stopped++
		}
		t.row(s.Org, s.Node, pid, s.Address, height, string(s.Health))
	}
	t.write(w, "")
	if stopped > 0 {
		fmt.Fprintf(w, "\n%d of %d are not running: waybill network up starts them\n", stopped, len(nodes))
	}
	if behind > 0 {
		fmt.Fprintf(w, "\n%d of %d are behind: one that does not catch up stands still; end its process (PID), then: waybill network up\n", behind, len(nodes))
	}
}
