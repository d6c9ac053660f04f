package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/network/cert"
	"github.com/waybill-dev/waybill/network/org"
)

func newCertCmd(a *app) *cobra.Command {
	cmd := parentCmd("cert", "Certificates: how long they hold, new ones, lost ones")
	cmd.Example = examples(`waybill cert list`, `waybill cert renew --all`, `waybill cert revoke publisher --earlier`)
	cmd.Long = "List, renew and revoke the certificates of the organisation whose folder --dir\nnames. --timeout does not apply."
	cmd.AddCommand(newCertListCmd(a), newCertRenewCmd(a), newCertRevokeCmd(a), newCertRolloverCmd(a))
	return cmd
}

// certificates opens one's own folder with what renews its certificates.
func (a *app) certificates() (*cert.Folder, *org.Folder, cert.Options, error) {
	f, err := a.ownOrg()
	if err != nil {
		return nil, nil, cert.Options{}, err
	}
	certs, err := cert.Open(f.Dir())
	o := cert.Live(f, a.passphrase)
	o.Step = func(what string) { fmt.Fprintln(a.errOut, sanitize(what)) }
	return certs, f, o, err
}

func newCertListCmd(a *app) *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use: "list", Short: "Show every certificate with the days it has left", Args: operands(),
		Example: examples(`waybill cert list`, `waybill cert list -o json`),
		Long: `Show every certificate of the organisation, and those that the channel knows:
the authorities of its members, and the certificates of its consenters. The exit
code is 1 when one has expired or ends within 30 days (within a third of its
life, where that is shorter).`,
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			certs, f, _, err := a.certificates()
			if err != nil {
				return err
			}
			var known *cert.Channel
			if !offline {
				asking, cancel := context.WithTimeout(ctx, a.timeout)
				defer cancel()
				c, err := cert.Ask(asking, f)
				if err != nil {
					a.notice("the channel's certificates are not shown: %v", err)
				} else {
					known = &c
				}
			}
			entries, err := certs.List(known, time.Now())
			if err != nil {
				return err
			}
			if err := a.emit(entries, func(w io.Writer) { writeCertificates(w, entries) }); err != nil {
				return err
			}
			return warnOfCertificates(entries)
		}),
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "only those in the folder: ask nobody for the channel's")
	return cmd
}

func writeCertificates(w io.Writer, entries []cert.Entry) {
	t := table("NAME", "FOR", "EXPIRES", "LEFT", "")
	for _, e := range entries {
		note := ""
		if e.Standing != cert.Good {
			note = string(e.Standing)
		}
		if e.Prepared {
			note = strings.TrimPrefix(note+", a newer one is prepared", ", ")
		}
		t.row(e.Name, e.For, e.Expires.Format(time.DateTime), left(e), note)
	}
	t.write(w, "")
}

// left says in days how long a certificate holds, and in less where it is less.
func left(e cert.Entry) string {
	d := time.Duration(e.Seconds) * time.Second
	switch {
	case d <= 0:
		return "none"
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", e.Days)
	default:
		return d.Round(time.Minute).String()
	}
}

// warnOfCertificates is an error where somebody has to do something soon.
func warnOfCertificates(entries []cert.Entry) error {
	ours, others := 0, 0
	for _, e := range entries {
		if e.Standing != cert.EndsSoon && e.Standing != cert.Ended {
			continue
		}
		if e.Ours {
			ours++
		} else {
			others++
		}
	}
	switch {
	case ours > 0:
		return hint(fmt.Errorf("%d certificates of this organisation have expired or end soon", ours), "waybill cert renew --all")
	case others > 0:
		return hint(fmt.Errorf("%d certificates that the channel knows have expired or end soon", others), "their organisations renew them")
	}
	return nil
}

func newCertRenewCmd(a *app) *cobra.Command {
	var all, anew bool
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "renew [NAME]... | --all", Short: "Give people and nodes new keys and certificates", DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return errors.New("name certificates as `waybill cert list` does, or give --all")
			}
			if anew && !all {
				return errors.New("--anew is of --all: what is named is renewed in any case")
			}
			return nil
		},
		Example: examples(`waybill cert renew --all`, `waybill cert renew admin peer-tls`),
		Long: `Give people and nodes new keys, and certificates that say what the old ones
said. The new pair is written beside the old one, then both files switch at
once. Running nodes are restarted one at a time, each awaited before the next; a
gateway takes its new certificates while it runs. Interrupted, run it again:
with --all it does what is left, for two weeks, unless --anew is given.

An orderer's enrolment is pinned in the channel. Its new certificate is prepared
and a descriptor written, for the members to vote on; waybill cert renew
orderer-enrolment, once that is in force, switches to it. Where the
organisation's own PKI signs, a request is written, and its answer taken when
run again.`,
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			certs, _, o, err := a.certificates()
			if err != nil {
				return err
			}
			o.Lifetime, o.Anew = lifetime, anew
			done, err := certs.Renew(ctx, args, o)
			if len(done) > 0 {
				err = errors.Join(a.emit(done, func(w io.Writer) { writeOutcomes(w, done) }), err)
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "every certificate of the organisation")
	cmd.Flags().BoolVar(&anew, "anew", false, "with --all: also what an interrupted run has renewed")
	cmd.Flags().DurationVar(&lifetime, "lifetime", cert.DefaultLifetime, "how long the new certificates hold")
	return cmd
}

func writeOutcomes(w io.Writer, done []cert.Outcome) {
	t := table("NAME", "", "EXPIRES")
	todo := []string{}
	for _, d := range done {
		expires := "-"
		if !d.Expires.IsZero() {
			expires = d.Expires.Format(time.DateTime)
		}
		t.row(d.Name, string(d.State), expires)
		if d.Todo != "" && !contains(todo, d.Todo) {
			todo = append(todo, d.Todo)
		}
	}
	t.write(w, "")
	for _, what := range todo {
		fmt.Fprintf(w, "\nnext: %s\n", sanitize(what))
	}
}

func newCertRevokeCmd(a *app) *cobra.Command {
	var r cert.Revocation
	cmd := &cobra.Command{
		Use: "revoke [NAME]...", Short: "Take back certificates whose keys are lost",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args)+len(r.Serials) == 0 {
				return errors.New("NAME or --serial is missing")
			}
			return nil
		},
		Example: examples(`waybill cert revoke publisher --earlier`, `waybill cert revoke scanner`),
		Long: `Add certificates to the organisation's revocation list. It is in force, for
every peer, orderer and gateway, once the channel's configuration has it: the
next command is printed. What a revoked certificate signed before stays; what a
stolen key did is taken back with: waybill member take-back.`,
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			certs, _, o, err := a.certificates()
			if err != nil {
				return err
			}
			r.Names = args
			done, err := certs.Revoke(ctx, r, o)
			if err != nil {
				return err
			}
			return a.emit(done, func(w io.Writer) { writeOutcomes(w, done) })
		}),
	}
	cmd.Flags().BoolVar(&r.Earlier, "earlier", false, "not the certificate in use, only those before it")
	cmd.Flags().StringArrayVar(&r.Serials, "serial", nil, "a certificate that is not in the folder, by its serial `number` in hexadecimal")
	return cmd
}

func newCertRolloverCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rollover", Short: "Replace the organisation's authorities, one step at a time", Args: operands(),
		Example: examples(`waybill cert rollover`),
		Long: `Make the next step from one pair of authorities to the next, and say what has to
happen before the one after: the new authorities are made and trusted; the
channel takes them in beside the old ones; they sign; every certificate is
renewed; the channel lets the old ones go. Run it again after each.`,
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			certs, f, o, err := a.certificates()
			if err != nil {
				return err
			}
			p, err := certs.RollOver(ctx, f.Spec().MSPID, o)
			if err != nil {
				return err
			}
			return a.emit(p, func(w io.Writer) {
				fmt.Fprintln(w, sanitize(string(p.Stage)))
				if len(p.Old) > 0 {
					fmt.Fprintf(w, "still below the old ones: %s\n", sanitize(strings.Join(p.Old, ", ")))
				}
				if p.Todo != "" {
					fmt.Fprintf(w, "\nnext: %s\n", sanitize(p.Todo))
				}
			})
		}),
	}
}
