package check

import (
	"archive/tar"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	core "k8s.io/api/core/v1"

	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/network/cluster"
	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/network/provision"
)

// user is who every container runs as.
const user = 65532

// An organisation of a running network moves into the images: its nodes run with an image's tree as
// all they see, as the chart says, with what `waybill org cluster` gives of its folder. The others
// find it endorsing again, and its gateway answers. That is a pod but for its engine.
func TestOrganisationInContainers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change a process's root and user; no organisation is moved into the images")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	dir := t.TempDir()
	images := makeImages(ctx, t, dir)
	binary := filepath.Join(dir, "waybill-chaincode")
	if err := os.Link(filepath.Join(unpack(t, images["chaincode"]), "usr/bin/waybill-chaincode"), binary); err != nil {
		t.Fatal(err)
	}
	topology := network.Default()
	base, err := network.FreePortBase(len(topology.Orgs), 21000)
	if err != nil {
		t.Fatal(err)
	}
	topology.PortBase = base
	n, err := network.New(network.Options{
		Dir: filepath.Join(dir, "network"), Topology: topology, ChaincodeBinary: binary, GatewayConfig: provision.GatewayConfig,
		Provision: func(ctx context.Context, n *network.Network) error { return provision.Members(ctx, n.Clients()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := n.Up(ctx); err != nil {
		t.Fatal(err)
	}
	// Two of four are no majority: whatever is endorsed from here on, vendor's containers endorsed.
	for _, name := range []string{"vendor", "audit"} {
		if err := n.StopOrg(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	other, err := org.Open(filepath.Join(n.Dir(), "orgs", "platform"), org.Options{})
	if err != nil {
		t.Fatal(err)
	}
	soon, cancelSoon := context.WithTimeout(ctx, 3*time.Second)
	defer cancelSoon()
	if err := other.Ready(soon); err == nil {
		t.Fatal("two organisations of four are enough: the test would show nothing")
	}

	vendor, err := org.Open(filepath.Join(n.Dir(), "orgs", "vendor"), org.Options{})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := cluster.Nodes(vendor.Dir(), vendor.Spec())
	if err != nil {
		t.Fatal(err)
	}
	values, err := cluster.Values(nodes, vendor.Spec())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "values.json")
	if err := os.WriteFile(file, values, 0o600); err != nil {
		t.Fatal(err)
	}
	listen := vendor.Spec().Listen
	ports := map[string]string{
		"peer.port": listen.Peer, "peer.operationsPort": listen.PeerOperations, "orderer.port": listen.Orderer,
		"orderer.adminPort": listen.OrdererAdmin, "orderer.operationsPort": listen.OrdererOperations, "chaincode.port": listen.Chaincode,
		"gateway.port": listen.Gateway, "gateway.hooksPort": listen.Hooks, "gateway.metricsPort": listen.GatewayMetrics,
	}
	args := []string{"--values", file}
	for key, address := range ports {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "--set", key+"="+port)
	}
	probes := map[string]string{}
	for name, pod := range pods(t, template(t, args...)) {
		part := strings.TrimPrefix(name, "vendor-")
		i := slices.IndexFunc(nodes, func(n cluster.Node) bool { return n.Name == part })
		if i < 0 {
			t.Fatalf("no files for %s", name)
		}
		tree := unpack(t, images[part])
		mount(t, tree, nodes[i], filepath.Join(vendor.Dir(), part, "data"))
		for _, c := range pod.InitContainers {
			for range 2 { // as a pod does that starts again
				if out, err := container(ctx, t, tree, images[part], c).CombinedOutput(); err != nil {
					t.Fatalf("%s of %s: %v\n%s", c.Name, name, err, out)
				}
			}
		}
		run := container(ctx, t, tree, images[part], pod.Containers[0])
		background(t, name, run)
		if probe := pod.Containers[0].ReadinessProbe; probe.HTTPGet != nil {
			probes[part] = probe.HTTPGet.Path
		}
	}
	for part, path := range probes {
		awaitProbe(ctx, t, ports, part, path)
	}
	ready, cancelReady := context.WithTimeout(ctx, time.Minute)
	defer cancelReady()
	if err := other.Ready(ready); err != nil {
		t.Errorf("the others do not find it endorsing: %v", err)
	}
	for _, address := range []string{listen.PeerOperations, listen.OrdererOperations} {
		if status := get(ctx, "https://"+address+"/metrics"); status == http.StatusOK {
			t.Errorf("whoever has no certificate reads the metrics on %s", address)
		}
	}
}

// makeImages makes the four images as `make images` does.
func makeImages(ctx context.Context, t *testing.T, dir string) map[string]v1.Image {
	t.Helper()
	out, err := filepath.Abs(filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	parts := []string{"peer", "orderer", "chaincode", "gateway"}
	cmd := exec.CommandContext(ctx, "go", "run", ".", "-o", out, "--only", "waybill-"+strings.Join(parts, ",waybill-"))
	cmd.Dir = filepath.Join("..", "images")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make images: %v\n%s", err, said)
	}
	images := map[string]v1.Image{}
	for _, part := range parts {
		index, err := layout.ImageIndexFromPath(filepath.Join(out, "waybill-"+part))
		if err != nil {
			t.Fatal(err)
		}
		list, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if images[part], err = index.Image(list.Manifests[0].Digest); err != nil {
			t.Fatal(err)
		}
	}
	return images
}

// unpack lays an image out as an engine would.
func unpack(t *testing.T, img v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	for above := dir; above != os.TempDir() && above != "/"; above = filepath.Dir(above) {
		if err := os.Chmod(above, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	flat := mutate.Extract(img)
	defer flat.Close() //nolint:errcheck // only read
	for r := tar.NewReader(flat); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeLink:
			if err := os.Link(filepath.Join(dir, h.Linkname), path); err != nil {
				t.Fatal(err)
			}
			continue
		default:
			var content []byte
			if content, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, content, 0o600)
			}
		}
		if err = errors.Join(err, os.Chown(path, h.Uid, h.Gid), os.Chmod(path, h.FileInfo().Mode())); err != nil {
			t.Fatal(err)
		}
	}
}

// mount gives a tree its files, as root's and for the group to read, and its volume, with what the
// node wrote before.
func mount(t *testing.T, tree string, node cluster.Node, data string) {
	t.Helper()
	for _, f := range node.Files {
		path := filepath.Join(tree, "etc/waybill", f.Path)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, f.Content, 0o440)
		}
		if err == nil {
			err = os.Chown(path, 0, user)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	volume := filepath.Join(tree, "var/lib/waybill")
	if info, err := os.Stat(data); err == nil && info.IsDir() {
		if err := os.CopyFS(volume, os.DirFS(data)); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(volume, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, user, user)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// container is a container's process: the image's program, with the image's variables and the
// chart's and no others, in the image's tree.
func container(ctx context.Context, t *testing.T, tree string, img v1.Image, c core.Container) *exec.Cmd {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	args := append(slices.Clone(config.Config.Entrypoint), config.Config.Cmd...)
	if len(c.Args) > 0 {
		args = append(slices.Clone(config.Config.Entrypoint), c.Args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", slices.Clone(config.Config.Env)
	for _, v := range c.Env {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: tree, Credential: &syscall.Credential{Uid: user, Gid: user}, Pdeathsig: syscall.SIGKILL,
	}
	return cmd
}

func background(t *testing.T, name string, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
		raw, _ := os.ReadFile(log.Name())
		_ = log.Close()
		if t.Failed() {
			t.Logf("the end of %s:\n%s", name, raw[max(0, len(raw)-3000):])
		}
	})
}

func awaitProbe(ctx context.Context, t *testing.T, ports map[string]string, part, path string) {
	t.Helper()
	address := ports[part+".operationsPort"]
	if part == "gateway" {
		address = ports["gateway.port"]
	}
	status := 0
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if status = get(ctx, "https://"+address+path); status == http.StatusOK {
			return
		}
	}
	t.Errorf("%s%s answers %s", address, path, strconv.Itoa(status))
}

// get asks as a kubelet does: whoever serves.
func get(ctx context.Context, url string) int {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, //nolint:gosec // a kubelet does not look
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	res, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close() //nolint:errcheck // nothing is lost by it
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}
