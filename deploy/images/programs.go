package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func goarch() string { return runtime.GOARCH }

// program is one image: what is in it and how it is started.
type program struct {
	name  string
	title string
	built []built
	// web says that it dials hosts that public authorities vouch for.
	web   bool
	entry []string
	args  []string
	env   []string
	ports []string
}

// built is one binary: a package, the module it is built in, and the names it has in the image.
type built struct {
	module, pkg string
	ours        bool // told its version
	paths       []string
}

// Where things are in every image. The folder of an organisation is given below etc, what a node
// writes goes below data.
const (
	etc         = "/etc/waybill"
	data        = "/var/lib/waybill"
	builderHome = "/usr/lib/waybill/builder"
)

// programs lists the images. None needs a C library: SQLite is Go here, and Fabric is built
// without the PKCS#11 driver.
func programs() []program {
	const fabric = "github.com/hyperledger/fabric/cmd/"
	ours := func(name string) []built {
		return []built{{module: ".", pkg: "./cmd/" + name, ours: true, paths: []string{"/usr/bin/" + name}}}
	}
	return []program{
		{name: "waybill", title: "Waybill's command", built: ours("waybill"), web: true, entry: []string{"/usr/bin/waybill"}},
		{
			name: "waybill-gateway", title: "The gateway between registries and the ledger", built: ours("waybill-gateway"), web: true,
			entry: []string{"/usr/bin/waybill-gateway"}, args: []string{"run", "--config", etc + "/gateway/config.yaml"},
			ports: []string{"8443/tcp", "8444/tcp", "9443/tcp"},
		},
		{
			name: "waybill-chaincode", title: "The release rules, served to a peer", built: ours("waybill-chaincode"),
			entry: []string{"/usr/bin/waybill-chaincode"}, ports: []string{"7054/tcp"},
		},
		{
			name: "waybill-peer", title: "Hyperledger Fabric's peer, with the builder that finds Waybill's chaincode",
			built: []built{
				{module: "network/tools", pkg: fabric + "peer", paths: []string{"/usr/bin/peer"}},
				{module: "deploy/images", pkg: "./builder", paths: []string{
					builderHome + "/bin/detect", builderHome + "/bin/build", builderHome + "/bin/release",
				}},
			},
			entry: []string{"/usr/bin/peer"}, args: []string{"node", "start"},
			env: []string{"FABRIC_CFG_PATH=" + etc + "/peer"}, ports: []string{"7051/tcp", "9443/tcp"},
		},
		{
			name: "waybill-orderer", title: "Hyperledger Fabric's orderer",
			built: []built{{module: "network/tools", pkg: fabric + "orderer", paths: []string{"/usr/bin/orderer"}}},
			entry: []string{"/usr/bin/orderer"},
			env:   []string{"FABRIC_CFG_PATH=" + etc + "/orderer"}, ports: []string{"7050/tcp", "7053/tcp", "9443/tcp"},
		},
	}
}

// build returns the binary's bytes for a platform. Paths of this machine, its revision control and
// a C compiler have no part in them.
func (b built) build(ctx context.Context, o options, platform v1.Platform, work string) ([]byte, error) {
	out := filepath.Join(work, "binary")
	linker := "-buildid="
	if b.ours {
		linker += " -X main.version=" + o.version
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", linker, "-o", out, b.pkg)
	cmd.Dir = filepath.Join(o.source, b.module)
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0",
		"GOOS="+platform.OS, "GOARCH="+platform.Architecture, variant(platform))
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build %s: %w\n%s", b.pkg, err, bytes.TrimSpace(said))
	}
	return os.ReadFile(out)
}

// variant pins the instructions that may be used, which Go otherwise takes from the environment.
func variant(p v1.Platform) string {
	switch p.Architecture {
	case "amd64":
		return "GOAMD64=v1"
	case "arm64":
		return "GOARM64=v8.0"
	}
	return "GOARM=7"
}
