package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newPolicyDiffCmd(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "diff NAME [VERSION [VERSION]]", Short: "Say what changes between two versions, or to a file",
		Example: examples(`waybill policy diff default -f policy.yaml`, `waybill policy diff default 2 3`),
		Args:    cobra.RangeArgs(1, 3),
		Long: `Say what changes from the version before to the one in force, from one version
to another or to the one in force, or from the one in force to a file that
might be proposed (-f).`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			from, err := a.policyVersion(ctx, args, 1, file == "" && len(args) < 3)
			if err != nil {
				return err
			}
			var to policyText
			if file != "" {
				to.rules, to.text, err = a.readPolicy(file)
			} else {
				to, err = a.policyVersion(ctx, args, 2, false)
			}
			if err != nil {
				return err
			}
			lines := policy.Diff(from.rules, to.rules)
			return a.emit(map[string]any{"changes": append([]string{}, lines...), "text": from.text != to.text}, func(w io.Writer) {
				switch {
				case len(lines) == 0 && from.text != to.text:
					fmt.Fprintln(w, "no rule changes; comments or layout do")
				case len(lines) == 0:
					fmt.Fprintln(w, "nothing changes")
				}
				for _, line := range lines {
					fmt.Fprintln(w, sanitize(line))
				}
			})
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "compare with this file")
	return cmd
}

// policyText is a policy and the text that says so.
type policyText struct {
	rules policy.Policy
	text  string
}

// policyVersion reads the version that stands at args[at], the one in force
// where there is none, or the one before it.
func (a *app) policyVersion(ctx context.Context, args []string, at int, before bool) (policyText, error) {
	n := 0
	if len(args) > at {
		var err error
		if n, err = strconv.Atoi(args[at]); err != nil || n < 1 {
			return policyText{}, usagef("version %q: want a number from 1", args[at])
		}
	}
	res, err := fetch(ctx, a, func(c gatewayAPI) (*waybillv1.GetPolicyResponse, error) { return c.GetPolicy(ctx, args[0], n) })
	if err != nil {
		return policyText{}, err
	}
	if v := int(res.GetPolicy().GetVersion()); before && n == 0 && v > 1 {
		res, err = fetch(ctx, a, func(c gatewayAPI) (*waybillv1.GetPolicyResponse, error) { return c.GetPolicy(ctx, args[0], v-1) })
		if err != nil {
			return policyText{}, err
		}
	}
	text := res.GetPolicy().GetSource()
	if err := checkSource("policy "+args[0], text, []byte(res.GetPolicy().GetText())); err != nil {
		return policyText{}, err
	}
	if text == "" {
		text = res.GetPolicy().GetText()
	}
	p, err := policy.Parse([]byte(res.GetPolicy().GetText()))
	return policyText{p, text}, err
}
