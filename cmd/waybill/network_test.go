package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/network"
)

type fakeNetwork struct {
	t    *testing.T
	dir  string
	did  []string
	fail error
}

func (f *fakeNetwork) do(what string) error { f.did = append(f.did, what); return f.fail }

func (f *fakeNetwork) Up(context.Context) error    { return f.do("up") }
func (f *fakeNetwork) Down(context.Context) error  { return f.do("down") }
func (f *fakeNetwork) Reset(context.Context) error { return f.do("reset") }

func (f *fakeNetwork) Status(context.Context) ([]network.NodeStatus, error) {
	return []network.NodeStatus{
		{Org: "vendor", Node: "vendor-orderer", Kind: network.KindOrderer, PID: 17, Address: "127.0.0.1:7052", Height: 9, Health: network.Running},
		{Org: "vendor", Node: "vendor-peer", Kind: network.KindPeer, Address: "127.0.0.1:7050", Health: network.Stopped},
	}, f.fail
}

func (f *fakeNetwork) LogPath(node string) string { return filepath.Join(f.dir, node+".log") }
func (f *fakeNetwork) Nodes() []network.Node {
	return []network.Node{{Name: "vendor-orderer"}, {Name: "vendor-peer"}}
}
func (f *fakeNetwork) Topology() network.Topology { return network.Default() }
func (f *fakeNetwork) Clients() network.Clients   { return testClients() }

func TestNetworkUp(t *testing.T) {
	w := newWorld(t)
	code, out, errOut := w.run("network", "up", "--dir", "net")
	golden(t, "up.txt", out)
	if code != 0 || !strings.HasPrefix(errOut, "ready in ") {
		t.Errorf("exit %d, stderr %q", code, errOut)
	}
	w.nodes.fail = &network.PortTakenError{Port: 7050, Node: "vendor-peer"}
	if code, out, errOut = w.run("network", "up"); code != exitError || out != "" || !strings.Contains(errOut, "port 7050, wanted by vendor-peer, is taken") {
		t.Errorf("a taken port: exit %d, out %q, stderr %q", code, out, errOut)
	}
}

func TestNodesBehind(t *testing.T) {
	var out strings.Builder
	writeNodes(&out, []network.NodeStatus{
		{Org: "vendor", Node: "vendor-orderer", Kind: network.KindOrderer, PID: 17, Address: "127.0.0.1:7052", Height: 9, Health: network.Behind},
		{Org: "vendor", Node: "vendor-peer", Kind: network.KindPeer, PID: 18, Address: "127.0.0.1:7050", Height: 90, Health: network.Running},
	})
	golden(t, "nodes-behind.txt", out.String())
}

func TestNetworkStatus(t *testing.T) {
	w := newWorld(t)
	for name, format := range map[string]string{"nodes.txt": "table", "nodes.json": "json"} {
		code, out, _ := w.run("network", "status", "-o", format)
		golden(t, name, out)
		if code != 0 {
			t.Errorf("exit %d", code)
		}
	}
	code, _, errOut := w.run("network", "status", "--dir", "nowhere")
	if want := "waybill: there is no network in nowhere\nhint: make one with: waybill network up --dir nowhere\n"; code != exitError || errOut != want {
		t.Errorf("exit %d, stderr %q", code, errOut)
	}
}

func TestNetworkResetAsks(t *testing.T) {
	for _, tt := range []struct {
		stdin string
		args  []string
		code  int
		did   int
	}{
		{"yes\n", nil, 0, 1},
		{"y\n", nil, 1, 0},
		{"", nil, 1, 0},
		{"", []string{"--yes"}, 0, 1},
	} {
		w := newWorld(t)
		w.stdin = tt.stdin
		code, _, errOut := w.run(append([]string{"network", "reset"}, tt.args...)...)
		if code != tt.code || len(w.nodes.did) != tt.did {
			t.Errorf("%q %v: exit %d, did %v, stderr %q", tt.stdin, tt.args, code, w.nodes.did, errOut)
		}
	}
}

func TestNetworkLogs(t *testing.T) {
	w := newWorld(t)
	if code, _, errOut := w.run("network", "logs", "vendor-peer"); code != exitError || !strings.Contains(errOut, "has logged nothing") {
		t.Errorf("no log: exit %d, stderr %q", code, errOut)
	}
	if err := os.WriteFile(w.nodes.LogPath("vendor-peer"), []byte("one\x1b[1m ü\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := w.run("network", "logs", "vendor-peer"); code != 0 || out != "one[1m ü\ntwo\n" {
		t.Errorf("exit %d, out %q", code, out)
	}
	if code, _, errOut := w.run("network", "logs", "vendor-peet"); code != exitUsage || !strings.Contains(errOut, "did you mean vendor-peer?") {
		t.Errorf("exit %d, stderr %q", code, errOut)
	}
}

// stopper ends a followed log once it has seen enough.
type stopper struct {
	bytes.Buffer
	stop context.CancelFunc
	more func()
}

func (s *stopper) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if strings.HasSuffix(s.String(), "one\n") {
		s.more()
	}
	if strings.HasSuffix(s.String(), "two\n") {
		s.stop()
	}
	return n, err
}

func TestLogsFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	add := func(s string) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString(s)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	add("one\n")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &stopper{stop: stop, more: func() { add("two\n") }}
	a := &app{out: out}
	if err := a.printLog(ctx, path, true); err != nil {
		t.Fatal(err)
	}
	if out.String() != "one\ntwo\n" {
		t.Errorf("followed %q", out.String())
	}
}
