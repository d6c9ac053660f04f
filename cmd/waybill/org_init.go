package main

import (
	"context"
	"net"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/network/org"
)

// announced are what --host must name, internal what --listen may name besides.
func announced() []string { return []string{"peer", "orderer", "gateway"} }
func internal() []string {
	return []string{"peer-operations", "peer-chaincode", "orderer-admin", "orderer-operations", "chaincode", "gateway-metrics", "hooks"}
}

func newOrgInitCmd(a *app) *cobra.Command {
	var msp, programs, channel string
	var hosts, listen []string
	var csr bool
	cmd := &cobra.Command{
		Use: "init NAME --msp ID --host peer=HOST:PORT,orderer=HOST:PORT,gateway=HOST:PORT", Args: operands("NAME"),
		Short: "Make one organisation on this host: its people, nodes and keys", DisableFlagsInUseLine: true,
		Example: examples(
			`waybill org init vendor --msp VendorMSP \`,
			`    --host peer=10.0.0.1:7051,orderer=10.0.0.1:7050,gateway=10.0.0.1:7443`,
			`waybill org init audit --msp AuditMSP --csr --listen 0.0.0.0 \`,
			`    --host peer=a.example:7051,orderer=a.example:7050,gateway=a.example:7443`,
		),
		Long: `Make one organisation: its authorities, its people, and keys and complete
configuration of its peer, orderer, chaincode and gateway. Doing it again
repairs what was cut short, and takes up newer programs.

--host says where others reach each node. Nodes listen there unless --listen
says otherwise: a HOST for all of them, or NAME=HOST:PORT of single ones. What
is only for this host (operations, metrics, hooks, the orderer's admin,
chaincode) listens on 127.0.0.1, on the ports behind the peer's.

With --csr there is no authority here: requests for your own PKI are written to
csr/, and waybill org import takes its answers.`,
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			spec := org.Spec{Name: args[0], MSPID: msp, Channel: channel, Chaincode: "waybill", ExternalCA: csr}
			if err := place(&spec, hosts, listen); err != nil {
				return err
			}
			var err error
			if spec.Programs, spec.Contract.Program, err = network.FindPrograms(ctx, programs, a.errOut); err != nil {
				return err
			}
			f, err := org.Create(ctx, a.dir, spec, a.orgOptions())
			if err != nil {
				return err
			}
			if csr {
				a.notice("%s waits for certificates: let your PKI answer the requests in %s, then: waybill org import", args[0], f.RequestsDir())
				return nil
			}
			a.notice("%s is in %s; tell the others who it is with: waybill org export", args[0], f.Dir())
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&msp, "msp", "", "the organisation's MSP id, as in VendorMSP")
	flags.StringSliceVar(&hosts, "host", nil, "where others reach peer, orderer and gateway")
	flags.StringSliceVar(&listen, "listen", nil, "where nodes listen instead: `HOST`, or NAME=HOST:PORT")
	flags.BoolVar(&csr, "csr", false, "ask your own PKI for certificates instead of making authorities")
	flags.StringVar(&programs, "programs", "", "`folder` of the programs that run the nodes")
	flags.StringVar(&channel, "channel", "waybill", "what the channel is called")
	requireFlags(cmd, "msp", "host")
	return cmd
}

// place fills in the addresses of a spec.
func place(spec *org.Spec, hosts, listen []string) error {
	at, err := addresses("host", hosts, announced()...)
	if err != nil {
		return err
	}
	for _, name := range announced() {
		if at[name] == "" {
			return usagef("--host does not say where the %s is reached", name)
		}
	}
	spec.Announce = org.Announce{Peer: at["peer"], Orderer: at["orderer"], Gateway: at["gateway"]}
	everywhere, named := "", []string{}
	for _, one := range listen {
		if net.ParseIP(one) != nil {
			everywhere = one
		} else {
			named = append(named, one)
		}
	}
	given, err := addresses("listen", named, append(announced(), internal()...)...)
	if err != nil {
		return err
	}
	where, err := listeners(at, given, everywhere)
	if err != nil {
		return err
	}
	spec.Listen = org.Listen{
		Peer: where["peer"], PeerOperations: where["peer-operations"], PeerChaincode: where["peer-chaincode"],
		Orderer: where["orderer"], OrdererAdmin: where["orderer-admin"], OrdererOperations: where["orderer-operations"],
		Chaincode: where["chaincode"], Gateway: where["gateway"], GatewayMetrics: where["gateway-metrics"], Hooks: where["hooks"],
	}
	return nil
}

// listeners says where each node listens: as given, else where it is announced, else, of what is for this
// host only, on the loopback address, from the port behind the peer's on, leaving out those that are taken.
func listeners(at, given map[string]string, everywhere string) (map[string]string, error) {
	where, taken := map[string]string{}, map[string]bool{}
	inside := "127.0.0.1"
	for name, address := range given {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, usagef("--listen %s=%s: want HOST:PORT", name, address)
		}
		taken[port] = true // whatever follows keeps out of its way
	}
	var next int
	for _, name := range announced() {
		host, port, err := net.SplitHostPort(at[name])
		if err != nil {
			return nil, usagef("--host %s=%s: want HOST:PORT", name, at[name])
		}
		taken[port] = true
		if name == "peer" {
			if next, err = strconv.Atoi(port); err != nil {
				return nil, usagef("--host %s=%s: want HOST:PORT", name, at[name])
			}
			if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
				inside = host // several organisations on one machine, each on an address of its own
			}
		}
		where[name] = at[name]
		if everywhere != "" {
			where[name] = net.JoinHostPort(everywhere, port)
		}
	}
	for _, name := range internal() {
		if given[name] != "" {
			continue
		}
		for next++; taken[strconv.Itoa(next)]; next++ {
		}
		if next > 65535 {
			return nil, hint(usagef("there is no port behind the peer's left for %s", name), "say where it listens: --listen %s=127.0.0.1:PORT", name)
		}
		where[name] = net.JoinHostPort(inside, strconv.Itoa(next))
	}
	for name, address := range given {
		where[name] = address
	}
	return where, nil
}

func newOrgImportCmd(a *app) *cobra.Command {
	var answers org.Answers
	cmd := &cobra.Command{
		Use: "import --ca FILE --tls-ca FILE", Short: "Take the certificates that your own PKI answered with", Args: operands(),
		DisableFlagsInUseLine: true,
		Example:               examples(`waybill org import --ca chain.pem --tls-ca tls-chain.pem`),
		Long: `Take the answers to the requests of waybill org init --csr: a NAME.crt for each
NAME.csr, beside it or in the folder that --answers names. Each must have the
request's key, name, role (organisational unit) and hosts, and be below the
authorities that --ca and --tls-ca name, intermediates among them. A certificate
of a person or a node names no extended key usage, or those of servers and
clients both. Nothing is taken before all are right.`,
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			if err := f.Import(ctx, answers); err != nil {
				return err
			}
			a.notice("%s has its certificates; tell the others who it is with: waybill org export", f.Spec().Name)
			return nil
		}),
	}
	cmd.Flags().StringVar(&answers.Dir, "answers", "", "`folder` of the answers, if it is not that of the requests")
	cmd.Flags().StringVar(&answers.CA, "ca", "", "`file` with the authorities that enrol people and nodes")
	cmd.Flags().StringVar(&answers.TLSCA, "tls-ca", "", "`file` with those that vouch for servers")
	requireFlags(cmd, "ca", "tls-ca")
	return cmd
}

func newOrgProtectCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "protect PERSON", Short: "Encrypt the key of one of your people with a passphrase", Args: operands("PERSON"),
		Example: examples(`waybill org protect admin`),
		Long: `Encrypt a person's key (PKCS #8, AES-256). Whoever signs with it is asked for
the passphrase, or names a file that holds it: --passphrase-file. The key of the
gateway stays as it is: nobody is there when it starts.`,
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			word, err := a.newPassphrase(args[0])
			if err != nil {
				return err
			}
			if err := f.Protect(ctx, args[0], word); err != nil {
				return err
			}
			a.notice("the key of %s opens with its passphrase only; where it was plain it may still lie on the disk", args[0])
			return nil
		}),
	}
}
