package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/network/cert"
	"github.com/waybill-dev/waybill/network/org"
)

// hearsWithin is how long a restarted peer may take until it has found the others, if enough of them run.
const hearsWithin = time.Minute

// announcement is what waybill org announce did, and what is left.
type announcement struct {
	Announce org.Announce   `json:"announce"`
	Listen   org.Listen     `json:"listen"`
	Renewed  []cert.Outcome `json:"renewed,omitempty"`
	Next     []string       `json:"next"`
}

func newOrgAnnounceCmd(a *app) *cobra.Command {
	var hosts, listen []string
	cmd := &cobra.Command{
		Use: "announce --host NAME=HOST:PORT,...", Short: "Tell where the nodes are reached from now on", Args: operands(),
		DisableFlagsInUseLine: true,
		Example: examples(
			`waybill org announce --host peer=10.0.9.1:7051,orderer=10.0.9.1:7050`,
			`waybill org announce --host gateway=a.example:443 --listen gateway=0.0.0.0:443`,
		),
		Long: `Change where others reach the peer, the orderer or the gateway. Their TLS
certificates are renewed so that they name the new hosts beside the old ones,
the nodes are restarted, one at a time, and listen where --host says, unless
--listen names another address.

The others learn it from the channel: the votes that it takes are printed. Until
they are in force an orderer that left its old address is one that is down, and
no other may be. Interrupted, run it again.`,
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			certs, f, o, err := a.certificates()
			if err != nil {
				return err
			}
			announce, at, err := readdress(f.Spec(), hosts, listen)
			if err != nil {
				return err
			}
			done, err := a.announce(ctx, certs, f, o, announce, at)
			if err != nil {
				return err
			}
			return a.emit(done, func(w io.Writer) { writeAnnouncement(w, done) })
		}),
	}
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "where others reach peer, orderer or gateway")
	cmd.Flags().StringSliceVar(&listen, "listen", nil, "where nodes listen instead: NAME=HOST:PORT")
	requireFlags(cmd, "host")
	return cmd
}

// readdress is what an organisation announces, and where it listens, with what the flags change.
func readdress(s org.Spec, hosts, listen []string) (org.Announce, org.Listen, error) {
	at, err := addresses("host", hosts, announced()...)
	if err != nil {
		return org.Announce{}, org.Listen{}, err
	}
	given, err := addresses("listen", listen, announced()...)
	if err != nil {
		return org.Announce{}, org.Listen{}, err
	}
	announce, where := s.Announce, s.Listen
	for name, of := range map[string]struct{ announce, listen *string }{
		"peer": {&announce.Peer, &where.Peer}, "orderer": {&announce.Orderer, &where.Orderer}, "gateway": {&announce.Gateway, &where.Gateway},
	} {
		if to := at[name]; to != "" {
			*of.announce, *of.listen = to, to
		}
		if to := given[name]; to != "" {
			*of.listen = to
		}
	}
	return announce, where, nil
}

func (a *app) announce(ctx context.Context, certs *cert.Folder, f *org.Folder, o cert.Options, announce org.Announce, listen org.Listen) (announcement, error) {
	was := f.Spec()
	if _, err := was.Announcing(announce, listen); err != nil { // before a certificate names it
		return announcement{}, err
	}
	did := announcement{Announce: announce, Listen: listen}
	var renew []string
	o.Hosts = map[string][]string{}
	for _, one := range []struct{ pair, address string }{
		{"peer-tls", announce.Peer}, {"orderer-tls", announce.Orderer}, {"gateway-tls", announce.Gateway},
	} {
		host, _, err := net.SplitHostPort(one.address)
		if err != nil {
			return did, usagef("--host %s: want HOST:PORT", one.address)
		}
		named, err := certs.Names(one.pair, host)
		if err != nil {
			return did, err
		}
		if !named {
			renew, o.Hosts[one.pair] = append(renew, one.pair), []string{host}
		}
	}
	if len(renew) > 0 {
		var err error
		if did.Renewed, err = certs.Renew(ctx, renew, o); err != nil {
			return did, err
		}
		for _, r := range did.Renewed {
			if r.State == cert.WaitsForElsewhere {
				did.Next = append(did.Next, r.Todo, "waybill org announce, with the same words, once all are there")
			}
		}
		if len(did.Next) > 0 {
			return did, nil
		}
	}
	if err := f.Announce(ctx, announce, listen); err != nil {
		return did, err
	}
	for _, node := range []string{cert.Peer, cert.Gateway} {
		o.Step("restarting the " + node)
		if err := o.Nodes.Restart(ctx, node); err != nil {
			return did, fmt.Errorf("restart the %s at its new address: %w", node, err)
		}
	}
	// It is not waited for: until the vote is in force the others may look for it where it was.
	o.Step("restarting the " + cert.Orderer)
	if err := errors.Join(f.Stop(ctx, cert.Orderer), f.Start(ctx, cert.Orderer)); err != nil {
		return did, fmt.Errorf("restart the orderer at its new address: %w", err)
	}
	o.Step("waiting until the peers have heard of each other")
	hearing, cancel := context.WithTimeout(ctx, hearsWithin)
	defer cancel()
	if err := f.Ready(hearing); err != nil {
		a.notice("too few organisations can be reached yet, try again before you go on: %v", err)
	}
	did.Next = toTellOthers(was, announce)
	return did, nil
}

// toTellOthers are the commands by which the others learn of new addresses; all of them where the folder has had the new ones
// already, since nobody here knows then how far the votes got.
func toTellOthers(was org.Spec, now org.Announce) []string {
	file := was.Name + ".json"
	next := []string{"waybill org export -o " + file + ", and send it to the others"}
	if was.Announce.Peer != now.Peer || was.Announce == now {
		next = append(next, "waybill channel propose org-update "+file+", for the peer")
	}
	if was.Announce.Orderer != now.Orderer || was.Announce == now {
		next = append(next, "waybill channel propose orderer-update "+file+", for the orderer",
			"everybody, one after the other, once that is in force: waybill org restart orderer")
	}
	return next
}

func writeAnnouncement(w io.Writer, did announcement) {
	t := table("NODE", "REACHED AT", "LISTENS ON")
	t.row("peer", did.Announce.Peer, did.Listen.Peer)
	t.row("orderer", did.Announce.Orderer, did.Listen.Orderer)
	t.row("gateway", did.Announce.Gateway, did.Listen.Gateway)
	t.write(w, "")
	for _, r := range did.Renewed {
		fmt.Fprintf(w, "\n%s: %s, expires %s\n", r.Name, r.State, r.Expires.Format("2006-01-02"))
	}
	for _, what := range did.Next {
		fmt.Fprintf(w, "\nnext: %s\n", sanitize(what))
	}
}
