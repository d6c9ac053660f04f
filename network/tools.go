package network

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/waybill-dev/waybill/network/disk"
	"github.com/waybill-dev/waybill/network/org"
)

// Tools are the Fabric programs a network is run with.
type Tools struct {
	Peer    string `json:"peer"`
	Orderer string `json:"orderer"`
}

// FindPrograms finds what an organisation's nodes are run with, each in the folder that is named, else beside
// this program, else on the PATH. Fabric's own are built where they are nowhere. The chaincode's
// program must be there; the gateway's may be missing.
func FindPrograms(ctx context.Context, dir string, progress io.Writer) (programs org.Programs, chaincode string, err error) {
	if dir != "" {
		if dir, err = filepath.Abs(dir); err != nil {
			return programs, "", err
		}
	}
	find := func(name string) string {
		if dir != "" {
			if have, err := disk.Exists(filepath.Join(dir, name)); err == nil && have {
				return filepath.Join(dir, name)
			}
		}
		if exe, err := os.Executable(); err == nil {
			beside := filepath.Join(filepath.Dir(exe), name)
			if have, err := disk.Exists(beside); err == nil && have {
				return beside
			}
		}
		if file, err := exec.LookPath(name); err == nil {
			if abs, err := filepath.Abs(file); err == nil {
				return abs
			}
		}
		return ""
	}
	programs = org.Programs{Peer: find("peer"), Orderer: find("orderer"), Gateway: find("waybill-gateway")}
	if chaincode = find("waybill-chaincode"); chaincode == "" {
		if chaincode, err = findChaincode(); err != nil {
			return programs, "", err
		}
	}
	if programs.Peer == "" || programs.Orderer == "" {
		tools, err := BuildTools(ctx, progress)
		if err != nil {
			return programs, "", err
		}
		programs.Peer, programs.Orderer = tools.Peer, tools.Orderer
	}
	return programs, chaincode, nil
}

// RegistryTools are a real registry and a real client, for demonstrations and tests.
type RegistryTools struct {
	Registry string
	Crane    string
}

// BuildTools builds the Fabric programs from network/tools at the versions pinned there, unless
// this user's cache has them. The first time takes a minute or more, and progress gets a line for
// each program; after that it takes no time and says nothing.
func BuildTools(ctx context.Context, progress io.Writer) (Tools, error) {
	bin, err := build(ctx, progress, ".", fabricPrograms+"peer", fabricPrograms+"orderer")
	if err != nil {
		return Tools{}, fmt.Errorf("build Fabric programs: %w", err)
	}
	return Tools{Peer: filepath.Join(bin, "peer"), Orderer: filepath.Join(bin, "orderer")}, nil
}

const fabricPrograms = "github.com/hyperledger/fabric/cmd/"

// BuildConfigtxgen does the same for Fabric's own maker of first blocks, for tests: ours is compared with it.
func BuildConfigtxgen(ctx context.Context, progress io.Writer) (string, error) {
	bin, err := build(ctx, progress, ".", fabricPrograms+"configtxgen")
	if err != nil {
		return "", fmt.Errorf("build configtxgen: %w", err)
	}
	return filepath.Join(bin, "configtxgen"), nil
}

// BuildRegistryTools does the same for a registry and its client.
func BuildRegistryTools(ctx context.Context, progress io.Writer) (RegistryTools, error) {
	bin, err := build(ctx, progress, "registry",
		"github.com/distribution/distribution/v3/cmd/registry",
		"github.com/google/go-containerregistry/cmd/crane")
	if err != nil {
		return RegistryTools{}, fmt.Errorf("build registry programs: %w", err)
	}
	return RegistryTools{Registry: filepath.Join(bin, "registry"), Crane: filepath.Join(bin, "crane")}, nil
}

// SigningTools are real clients that sign and attach evidence, for tests.
type SigningTools struct {
	Cosign   string
	ORAS     string
	Notation string
}

// BuildSigningTools does the same for the clients that sign. Each has a module
// of its own: their requirements contradict each other.
func BuildSigningTools(ctx context.Context, progress io.Writer) (SigningTools, error) {
	var programs [3]string
	for i, tool := range []struct{ module, pkg string }{
		{"cosign", "github.com/sigstore/cosign/v3/cmd/cosign"},
		{"oras", "oras.land/oras/cmd/oras"},
		{"notation", "github.com/notaryproject/notation/cmd/notation"},
	} {
		bin, err := build(ctx, progress, tool.module, tool.pkg)
		if err != nil {
			return SigningTools{}, fmt.Errorf("build %s: %w", tool.module, err)
		}
		programs[i] = filepath.Join(bin, tool.module)
	}
	return SigningTools{Cosign: programs[0], ORAS: programs[1], Notation: programs[2]}, nil
}

// BuildZot does the same for zot, a registry that has nothing in common with
// the one of BuildRegistryTools, and returns its program. It is the minimal
// build: no search, no synchronisation. The newest that can be had as
// a module is zot 1.4, which cannot notify anybody.
func BuildZot(ctx context.Context, progress io.Writer) (string, error) {
	bin, err := build(ctx, progress, "zot", "zotregistry.io/zot/cmd/zot")
	if err != nil {
		return "", fmt.Errorf("build zot: %w", err)
	}
	return filepath.Join(bin, "zot"), nil
}

// build returns the folder with the built programs. The folder's name comes from the versions, so
// a changed pin never meets an old program.
func build(ctx context.Context, progress io.Writer, module string, packages ...string) (string, error) {
	tools, err := toolsDir()
	if err != nil {
		return "", err
	}
	src := filepath.Join(tools, module)
	key, err := versionsKey(src)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir() // $XDG_CACHE_HOME, else ~/.cache
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "waybill", "tools", key)
	bin := filepath.Join(dir, "bin")
	missing, err := missingIn(bin, packages)
	if err != nil || len(missing) == 0 {
		return bin, err
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	unlock, err := disk.Lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	// Whoever had the lock before us may have built them.
	if missing, err = missingIn(bin, packages); err != nil {
		return "", err
	}
	for i, pkg := range missing {
		name := programName(pkg)
		if progress != nil {
			_, _ = fmt.Fprintf(progress, "building %s (%d of %d; once)\n", name, i+1, len(missing))
		}
		if err := goBuild(ctx, src, pkg, filepath.Join(bin, name)); err != nil {
			return "", err
		}
	}
	return bin, nil
}

// goBuild builds beside the target and renames: a half-written program never has its final name.
func goBuild(ctx context.Context, src, pkg, target string) error {
	tmp := fmt.Sprintf("%s.new-%d", target, os.Getpid())
	defer func() { _ = os.Remove(tmp) }() // gone already once renamed
	// The tag is zot's, and unknown to the others: OpenPGP in Go, not from a C library.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "containers_image_openpgp", "-o", tmp, pkg)
	cmd.Dir = src
	// GOWORK: a workspace above would mix our own requirements into Fabric's.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return os.Rename(tmp, target)
}

func missingIn(bin string, packages []string) ([]string, error) {
	var missing []string
	for _, pkg := range packages {
		have, err := disk.Exists(filepath.Join(bin, programName(pkg)))
		if err != nil {
			return nil, err
		}
		if !have {
			missing = append(missing, pkg)
		}
	}
	return missing, nil
}

func versionsKey(module string) (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		raw, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		h.Write(raw)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// toolsDir finds network/tools: $WAYBILL_TOOLS, else above the working directory, else above this
// program, which lies in the repository's bin folder.
func toolsDir() (string, error) {
	if dir := os.Getenv("WAYBILL_TOOLS"); dir != "" {
		return dir, nil
	}
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if exe, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(exe))
	}
	for _, start := range starts {
		if dir, err := above(start, filepath.Join("network", "tools", "go.mod")); err == nil {
			return filepath.Join(dir, "network", "tools"), nil
		}
	}
	return "", errors.New("network/tools not found above the working directory or this program; set WAYBILL_TOOLS to it")
}

// above returns the nearest folder at or above start in which the relative path exists.
func above(start, rel string) (string, error) {
	for dir := start; ; dir = filepath.Dir(dir) {
		have, err := disk.Exists(filepath.Join(dir, rel))
		if err != nil {
			return "", err
		}
		if have {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no %s at or above %s", rel, start)
		}
	}
}
