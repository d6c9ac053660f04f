package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/org"
)

func newOrgJoinCmd(a *app) *cobra.Command {
	var hash, config string
	var running bool
	cmd := &cobra.Command{
		Use: "join BLOCK", Short: "Join the channel that a first block founds, and start", Args: operands("BLOCK"),
		Example: examples(`waybill org join genesis.block`, `waybill org join genesis.block --hash "$HASH"`,
			`waybill org join genesis.block --running`),
		Long: `Keep a channel's first block for good, start the organisation's nodes and make
them members. A block that your organisation is not in, exactly as its own
descriptor says, is refused. What it says of the others is yours to look at
before: waybill channel inspect compares it with their descriptors. Nodes in
containers run already: with --running they are only made members.

An organisation that was voted in later is not in the first block. It names the
block's hash with --hash, as a member told it by other means than those the file
came by: waybill channel inspect prints it. With --config it names a block with
the configuration in force as well (waybill channel config --block), in which it
has to be as its own descriptor says. Its orderer becomes a consenter by a vote
of its own, and follows the chain until then.`,
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			raw, err := a.readFile("block", args[0], maxBlock)
			if err != nil {
				return err
			}
			consenter, err := a.checkBlocks(f, raw, hash, config)
			if err != nil {
				return provenance.Wrap(provenance.Invalid, err, "%s", args[0])
			}
			block := &common.Block{}
			if err := proto.Unmarshal(raw, block); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			join := f.Join
			if running {
				join = f.JoinRunning
			}
			if err := join(ctx, raw); err != nil {
				return orgHint(wrongPassphrase(err))
			}
			a.notice("joined channel %s, genesis hash %s", f.Spec().Channel, channel.GenesisHash(block))
			for _, line := range afterJoining(hash != "", consenter) {
				a.notice("%s", line)
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&hash, "hash", "", "the `hash` of a first block that your organisation is not in")
	cmd.Flags().StringVar(&config, "config", "", "`file` with a later block, whose configuration it is in; wants --hash")
	cmd.Flags().BoolVar(&running, "running", false, "the nodes run already, in containers: start none")
	return cmd
}

// afterJoining says what comes next.
func afterJoining(later, consenter bool) []string {
	if !later {
		return []string{"the others join too; then each: waybill chaincode approve, and one: waybill chaincode commit"}
	}
	next := []string{"once the peer has read the chain: waybill chaincode approve, then waybill member join NAME"}
	if !consenter {
		next = append(next, "the orderer follows the chain; it decides with the others once they voted it in, with the file of waybill org export: waybill channel propose orderer-add FILE")
	}
	return next
}

// checkBlocks compares the blocks with the organisation's own descriptor, or with the hash that it was told, and
// says whether its orderer is known to be a consenter.
func (a *app) checkBlocks(f *org.Folder, genesis []byte, hash, config string) (consenter bool, err error) {
	switch {
	case hash == "" && config == "":
		return true, f.CheckGenesis(genesis)
	case hash == "":
		return false, usagef("--config wants --hash: what it says is worth what the first block is worth")
	}
	if err := f.CheckGenesisOfOthers(genesis, hash); err != nil || config == "" {
		return false, err
	}
	later, err := a.readFile("block", config, maxBlock)
	if err != nil {
		return false, err
	}
	return f.CheckLater(genesis, later)
}

func orgHint(err error) error {
	var taken *org.PortTakenError
	if errors.Is(err, org.ErrElsewhere) {
		return hint(err, "see docs/operate/kubernetes.md and docs/operate/containers.md; nodes that are to run on this host again: stop those, then waybill org join BLOCK")
	}
	if err == nil || errors.As(err, &taken) { // says itself what to do
		return err
	}
	return hint(err, "see what runs with: waybill org status; what a node says with: waybill org logs NODE")
}

func newOrgUpCmd(a *app) *cobra.Command {
	var foreground bool
	cmd := &cobra.Command{
		Use: "up [NODE]...", Short: "Start the nodes that are stopped, return when they are ready", DisableFlagsInUseLine: true,
		Example: examples(`waybill org up`, `waybill org up gateway`, `waybill org up --foreground`),
		Args: func(_ *cobra.Command, args []string) error {
			if foreground && len(args) > 0 {
				return errors.New("--foreground is of all nodes")
			}
			return nil
		},
		Long: `Start the organisation's orderer, peer, chaincode and gateway, or those that are
named. In the background they write to logs/ in the folder, where a log of
32 MiB is put aside, and three such files of each node are kept.

With --foreground they are children of this command, which prints what they log.
It starts again what ends, after growing pauses, and an orderer or peer that
stands still while others move on; waybill org status shows how often. It ends
when one cannot be kept alive, and when it is told to (SIGTERM): then the
gateway is stopped first, and the others after it.`,
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				return a.eachNode(f, args, func(n org.Node) error { return startNode(ctx, f, n) })
			}
			if joined, err := f.Joined(); err == nil && !joined {
				return hint(fmt.Errorf("%s is in no channel yet", f.Spec().Name), "join one with: waybill org join BLOCK")
			}
			if foreground {
				return orgHint(f.Supervise(ctx, sanitizingWriter{a.out}, org.Patience{}))
			}
			if err := f.Up(ctx); err != nil {
				return orgHint(wrongPassphrase(err))
			}
			a.notice("%s runs", f.Spec().Name)
			return nil
		}),
	}
	cmd.Flags().BoolVar(&foreground, "foreground", false, "keep the nodes alive until this command is told to end")
	return cmd
}

func newOrgDownCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "down [NODE]...", Short: "Stop the nodes, or those that are named, and keep everything",
		Example: examples(`waybill org down`, `waybill org down chaincode`),
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				if err := f.Unsupervised(); err != nil {
					return err
				}
				return a.eachNode(f, args, func(n org.Node) error { return f.Stop(ctx, n.Name) })
			}
			if err := f.Stop(ctx); err != nil {
				return err
			}
			a.notice("stopped; keys and ledger are kept in %s", f.Dir())
			return nil
		}),
	}
}

func newOrgStatusCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the nodes: process, address, height, health, restarts", Args: operands(),
		Example: examples(`waybill org status`),
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			nodes, err := f.Status(ctx)
			if err != nil {
				return err
			}
			return a.emit(nodes, func(w io.Writer) { writeOrgNodes(w, nodes) })
		}),
	}
}

func writeOrgNodes(w io.Writer, nodes []org.NodeStatus) {
	t := table("NODE", "PID", "ADDRESS", "HEIGHT", "HEALTH", "RESTARTS")
	stopped := 0
	for _, s := range nodes {
		pid, height, restarts := "-", "-", "-"
		if s.PID > 0 {
			pid = number(s.PID)
		}
		if s.Height > 0 {
			height = number(s.Height)
		}
		if r := s.Restarts; r != nil {
			restarts = fmt.Sprintf("%d, the last at %s: %s", r.Count, r.At.Format("2006-01-02 15:04:05"), r.Why)
		}
		if s.Health == org.Stopped {
			stopped++
		}
		t.row(s.Node, pid, s.Address, height, string(s.Health), restarts)
	}
	t.write(w, "")
	if stopped > 0 {
		fmt.Fprintf(w, "\n%d of %d are not running: waybill org up starts them\n", stopped, len(nodes))
	}
}

func newOrgLogsCmd(a *app) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs NODE", Short: "Print what a node logged", Args: operands("NODE"),
		Example: examples(`waybill org logs peer --follow`),
		Long:    "Print what a node logged: peer, orderer, chaincode or gateway. Under a\nsupervisor (waybill org up --foreground) it is in the supervisor's output\ninstead.",
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			node, err := f.Find(args[0])
			if err != nil {
				return hint(usagef("there is no node %q", args[0]), "there are: %v", kindsOf(f))
			}
			return a.printLog(ctx, f.LogPath(node.Name), follow)
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as the node logs more")
	return cmd
}

func kindsOf(f *org.Folder) []string {
	var kinds []string
	for _, n := range f.Nodes() {
		if !slices.Contains(kinds, string(n.Kind)) {
			kinds = append(kinds, string(n.Kind))
		}
	}
	return kinds
}

// logKeeper is the command line of this program that keeps the logs of nodes in the background short. Where this program is
// not found by the name that it was called, there is none.
func (a *app) logKeeper() []string {
	program, err := exec.LookPath(a.program)
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		return nil
	}
	return []string{program, "org", "keep-logs", "--dir"}
}

// newOrgKeepLogsCmd is what waybill org up leaves behind, and nobody types.
func newOrgKeepLogsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "keep-logs", Short: "Put aside logs that have become long, while nodes run", Args: operands(), Hidden: true,
		Example: examples(`waybill org keep-logs`),
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			return f.KeepLogs(ctx)
		}),
	}
}
