package hosts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/network/provision"
)

func orgProgram(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	const dir = "/srv/org"
	opts := org.Options{GatewayConfig: provision.GatewayConfig, Progress: os.Stdout}
	if args[0] == "init" {
		name, msp, host, address := args[1], args[2], args[3], args[4]
		_, err := org.Create(ctx, dir, org.Spec{
			Name: name, MSPID: msp, Channel: "waybill", Chaincode: "waybill",
			Announce: org.Announce{Peer: "peer." + host + ":7051", Orderer: "orderer." + host + ":7050", Gateway: "gateway." + host + ":8443"},
			Listen: org.Listen{
				Peer: address + ":7051", PeerOperations: "127.0.0.1:9443", PeerChaincode: "127.0.0.1:7052",
				Orderer: address + ":7050", OrdererAdmin: "127.0.0.1:7053", OrdererOperations: "127.0.0.1:9444",
				Chaincode: "127.0.0.1:9999", Gateway: address + ":8443", GatewayMetrics: "127.0.0.1:9445", Hooks: "127.0.0.1:8080",
			},
			Programs: org.Programs{Peer: "/usr/local/bin/peer", Orderer: "/usr/local/bin/orderer", Gateway: "/usr/local/bin/waybill-gateway"},
			Contract: org.Contract{Program: "/usr/local/bin/waybill-chaincode"},
		}, opts)
		return err
	}
	f, err := org.Open(dir, opts)
	if err != nil {
		return err
	}
	dial := func() (*ledger.Client, error) {
		c := f.Client()
		admin := c.People["admin"]
		return ledger.Dial(ledger.Config{MSPID: c.MSPID, CertFile: admin.Cert, KeyFile: admin.Key, PeerAddress: c.PeerAddress, PeerTLSCAFile: c.PeerTLSCA, Channel: "waybill", Chaincode: "waybill"})
	}
	submit := func(fn string, args ...string) error {
		c, err := dial()
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		for {
			_, err := c.Submit(ctx, fn, args...)
			if err == nil || ctx.Err() != nil {
				return err
			}
			fmt.Println(fn, err)
			time.Sleep(time.Second)
		}
	}
	switch args[0] {
	case "export":
		raw, err := f.Export()
		if err != nil {
			return err
		}
		return os.WriteFile(args[1], raw, 0o644)
	case "join":
		raw, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		return f.Join(ctx, raw)
	case "approve":
		return f.Approve(ctx)
	case "commit":
		return f.AwaitCommit(ctx)
	case "ready":
		return f.Ready(ctx)
	case "up":
		return f.Up(ctx)
	case "start":
		return f.Start(ctx, args[1:]...)
	case "stop":
		return f.Stop(ctx, args[1:]...)
	case "found":
		list, err := json.Marshal(args[1:])
		if err != nil {
			return err
		}
		return submit("member:Found", string(list))
	case "member":
		if err := submit("member:Join", args[1]); err != nil {
			return err
		}
		for _, r := range provision.Roles() {
			if err := submit("member:Grant", string(r), string(r)); err != nil {
				return err
			}
		}
		return nil
	case "submit":
		return submit(args[1], args[2:]...)
	case "status":
		s, err := f.Status(ctx)
		for _, n := range s {
			fmt.Printf("%+v\n", n)
		}
		return err
	}
	return fmt.Errorf("what is %s?", args[0])
}
