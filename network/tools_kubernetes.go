package network

import (
	"context"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"regexp"
)

// KubernetesTools are a real API server and the store behind it, for tests of manifests. There is
// nothing that would run a pod.
type KubernetesTools struct {
	APIServer string
	Etcd      string
}

// BuildKubernetesTools does the same for a Kubernetes API server and its store. The first time takes
// several minutes of both processors.
func BuildKubernetesTools(ctx context.Context, progress io.Writer) (KubernetesTools, error) {
	bin, err := build(ctx, progress, "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", "go.etcd.io/etcd/server/v3")
	if err != nil {
		return KubernetesTools{}, fmt.Errorf("build Kubernetes programs: %w", err)
	}
	return KubernetesTools{APIServer: filepath.Join(bin, "kube-apiserver"), Etcd: filepath.Join(bin, "server")}, nil
}

// programName is what Go calls the program of a package: the end of its path, without a major version.
func programName(pkg string) string {
	if base := path.Base(pkg); !majorVersion.MatchString(base) {
		return base
	}
	return path.Base(path.Dir(pkg))
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)
