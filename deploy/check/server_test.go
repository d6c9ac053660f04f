package check

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	clients "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/waybill-dev/waybill/network"
)

// server is a real API server: it validates and admits, and nobody runs what it takes.
type server struct {
	config   *rest.Config
	objects  dynamic.Interface
	warnings *warnings
	token    string
}

// warnings are what the server said of requests that it took.
type warnings struct {
	mu   sync.Mutex
	said []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, text)
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	said := w.said
	w.said = nil
	return said
}

const token = "only-this-test-knows-it"

func startServer(t *testing.T) *server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute) // the first time they are built
	defer cancel()
	tools, err := network.BuildKubernetesTools(ctx, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ports := freePorts(t, 3)
	etcd := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	peers := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	start(t, dir, tools.Etcd, "--data-dir", filepath.Join(dir, "etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers, "--unsafe-no-fsync")
	key := signingKey(t, dir)
	users := filepath.Join(dir, "users.csv")
	if err := os.WriteFile(users, []byte(token+`,admin,admin,"system:masters"`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[2])
	start(t, dir, tools.APIServer, "--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(ports[2]),
		"--cert-dir", filepath.Join(dir, "certs"), "--token-auth-file", users, "--authorization-mode", "RBAC",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", key,
		"--service-account-signing-key-file", key, "--service-cluster-ip-range", "10.0.0.0/24", "--advertise-address", "127.0.0.1",
		// Its controller would make the default account of a namespace; there is none.
		"--disable-admission-plugins", "ServiceAccount")
	said := &warnings{}
	config := &rest.Config{
		Host: "https://" + address, BearerToken: token, WarningHandler: said, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	}
	awaitReady(t, config.Host, dir)
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &server{config: config, objects: objects, warnings: said, token: token}
}

func start(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, filepath.Base(program)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // nothing of it is kept
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			raw, _ := os.ReadFile(log.Name())
			t.Logf("the end of %s:\n%s", filepath.Base(program), raw[max(0, len(raw)-3000):])
		}
	})
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // only held until all are known
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func signingKey(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "accounts.key")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func awaitReady(t *testing.T, host, dir string) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	end := time.Now().Add(2 * time.Minute)
	last := ""
	for time.Now().Before(end) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, host+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		if res, err := client.Do(req); err != nil {
			last = err.Error()
		} else {
			body, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if last = string(body); res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("the API server in %s is not ready: %s", dir, last)
}

// in makes a namespace whose pods are held to the restricted standard.
func (s *server) in(t *testing.T, name string) {
	t.Helper()
	client, err := clients.NewForConfig(s.config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Namespaces().Create(t.Context(), &core.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted",
	}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.warnings.take()
}

// dryRun hands an object in as if it were meant, and returns what the server warned of.
func (s *server) dryRun(t *testing.T, o *unstructured.Unstructured) ([]string, error) {
	t.Helper()
	kind := o.GroupVersionKind()
	plural, _ := meta.UnsafeGuessKindToResource(kind)
	if kind.Kind == "NetworkPolicy" {
		plural = schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: "networkpolicies"}
	}
	_, err := s.objects.Resource(plural).Namespace(namespace).Create(t.Context(), o,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	return s.warnings.take(), err
}

// Everything that the chart renders is taken by a real API server, in a namespace that takes only
// restricted pods, without a warning: workloads, and the pods that would be made of them.
func TestDryRun(t *testing.T) {
	s := startServer(t)
	s.in(t, namespace)
	for name, args := range variants() {
		taken, pods := 0, 0
		for _, o := range objects(t, template(t, args...)) {
			if o.GetKind() == "ServiceMonitor" {
				continue // the server knows none
			}
			for _, o := range append([]*unstructured.Unstructured{o}, podOf(t, o)...) {
				said, err := s.dryRun(t, o)
				if err != nil || len(said) > 0 {
					t.Errorf("%s: %s %s: %v, warnings %q", name, o.GetKind(), o.GetName(), err, said)
				}
				taken++
				if o.GetKind() == "Pod" {
					pods++
				}
			}
		}
		if taken < 8 || pods < 3 {
			t.Errorf("%s: the server saw %d objects, %d pods among them", name, taken, pods)
		}
	}
	// It would say so.
	careless := strings.NewReplacer("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "runAsNonRoot: true", "runAsNonRoot: false").
		Replace(template(t, set()...))
	refused, warned := 0, 0
	for _, o := range objects(t, careless) {
		for _, o := range append([]*unstructured.Unstructured{o}, podOf(t, o)...) {
			said, err := s.dryRun(t, o)
			warned += len(said)
			if err != nil {
				refused++
			}
		}
	}
	if refused != 4 || warned != 4 {
		t.Errorf("of pods that may be root %d were refused and %d workloads warned of, want 4 and 4", refused, warned)
	}
	misspelt := strings.Replace(template(t, set()...), "enableServiceLinks", "enableServiceLink", 1)
	refused = 0
	for _, o := range objects(t, misspelt) {
		if _, err := s.dryRun(t, o); err != nil {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("of a misspelt field %d objects were refused, want 1", refused)
	}
	s.install(t)
}

// podOf is the pod that a controller would make of a workload.
func podOf(t *testing.T, o *unstructured.Unstructured) []*unstructured.Unstructured {
	t.Helper()
	template, ok, err := unstructured.NestedMap(o.Object, "spec", "template")
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return nil
	}
	pod := &unstructured.Unstructured{Object: template}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetName(o.GetName() + "-0")
	pod.SetNamespace(namespace)
	claims, _, err := unstructured.NestedSlice(o.Object, "spec", "volumeClaimTemplates")
	if err != nil {
		t.Fatal(err)
	}
	volumes, _, err := unstructured.NestedSlice(pod.Object, "spec", "volumes")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range claims {
		name := c.(map[string]any)["metadata"].(map[string]any)["name"].(string)
		volumes = append(volumes, map[string]any{"name": name, "persistentVolumeClaim": map[string]any{"claimName": name + "-" + pod.GetName()}})
	}
	if err := unstructured.SetNestedSlice(pod.Object, volumes, "spec", "volumes"); err != nil {
		t.Fatal(err)
	}
	return []*unstructured.Unstructured{pod}
}

// install installs the chart for good, upgrades it, and takes it away again: nothing that an
// upgrade changes is of what Kubernetes keeps for ever.
func (s *server) install(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: %q}}]
contexts: [{name: x, context: {cluster: c, user: u, namespace: %q}}]
current-context: x
`, s.config.Host, s.token, namespace)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The server does not know which version it is: Kubernetes' own build tells it, and ours is Go's.
	anyVersion := filepath.Join(dir, "waybill")
	if err := os.CopyFS(anyVersion, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	about, err := os.ReadFile(filepath.Join(chart, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	about = bytes.Replace(about, []byte("kubeVersion:"), []byte("# kubeVersion:"), 1)
	if err := os.WriteFile(filepath.Join(anyVersion, "Chart.yaml"), about, 0o600); err != nil {
		t.Fatal(err)
	}
	at := []string{"--kubeconfig", file, "--namespace", namespace}
	for _, step := range [][]string{
		append([]string{"install", "vendor", anyVersion}, set()...),
		append([]string{"upgrade", "vendor", anyVersion}, set("image.tag=1.1,peer.checksum=new,gateway.init=false,chaincode.next.packageID="+packageID+",chaincode.next.tag=2.0")...),
		{"uninstall", "vendor"},
	} {
		if out, err := run(t, append(step, at...)...); err != nil {
			t.Errorf("helm %s: %v\n%s", step[0], err, out)
		}
	}
}
