package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/network/cluster"
)

func newOrgClusterCmd(a *app) *cobra.Command {
	var out, files, release, namespace string
	cmd := &cobra.Command{
		Use: "cluster -o DIR", Short: "Write what containers are given of your organisation's folder", Args: operands(),
		DisableFlagsInUseLine: true,
		Example: examples(
			`waybill org cluster -o cluster --release vendor --namespace waybill`,
			`waybill org cluster --files /srv/waybill`,
		),
		Long: `Write what containers are given of your organisation's folder: each node its
own keys and configuration, with the paths that hold in a container. No
authority's key and no person's but the gateway's own is among it.

With -o it is secrets.json, for kubectl apply, and values.json, for helm
install; the values hold no secret. secrets.json holds the nodes' keys: remove
it once it is applied. With --files it is a folder for each node, for containers
without Kubernetes. Do it again when a certificate was renewed.`,
		RunE: a.withoutTimeout(func(_ context.Context, _ []string) error {
			if out == "" && files == "" {
				return usagef("say where to: -o DIR, --files DIR or both")
			}
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			nodes, err := cluster.Nodes(f.Dir(), f.Spec())
			if err != nil {
				return err
			}
			if files != "" {
				if err := cluster.WriteFiles(files, nodes); err != nil {
					return err
				}
				a.notice("the nodes' files are below %s; containers read them as user 65532", files)
			}
			if out == "" {
				return nil
			}
			if release == "" {
				release = f.Spec().Name
			}
			secrets, err := cluster.Secrets(nodes, release, namespace)
			if err != nil {
				return err
			}
			values, err := cluster.Values(nodes, f.Spec())
			if err != nil {
				return err
			}
			if err := os.MkdirAll(out, 0o700); err != nil {
				return err
			}
			for name, content := range map[string][]byte{"secrets.json": secrets, "values.json": values} {
				if err := renameio.WriteFile(filepath.Join(out, name), content, 0o600); err != nil {
					return fmt.Errorf("write %s: %w", name, err)
				}
			}
			a.notice("wrote secrets.json, with the nodes' keys, and values.json to %s", out)
			return nil
		}),
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "`folder` for secrets.json and values.json")
	cmd.Flags().StringVar(&files, "files", "", "`folder` for the nodes' files")
	cmd.Flags().StringVar(&release, "release", "", "the release's `NAME`, which the Secrets' begin with (default: the organisation's)")
	cmd.Flags().StringVar(&namespace, "namespace", "", "the Secrets' namespace (default: kubectl's)")
	return cmd
}
