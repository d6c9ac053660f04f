// Package e2e drives the real binaries on a real network and a real registry.
// Each script in testdata reads as a user's session.
package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/waybill-dev/waybill/test/lab"
)

func TestScripts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	for _, org := range []string{"vendor", "platform"} {
		if err := l.StartGateway(ctx, org); err != nil {
			t.Fatalf("%v\n%s", err, l.Log("gateway-"+org))
		}
	}
	if err := l.AddSigningTools(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.AddRegistry(ctx, l.Registry, "distribution", lab.Owner); err != nil {
		t.Fatal(err)
	}
	// A script's HOME is its own; what Go has fetched and built is not fetched and built again.
	built := map[string]string{}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY"} {
		out, err := exec.CommandContext(ctx, "go", "env", name).Output()
		if err != nil {
			t.Fatalf("go env %s: %v", name, err)
		}
		built[name] = strings.TrimSpace(string(out))
	}
	// When all scripts are over the network has much behind it.
	t.Cleanup(func() {
		if !t.Failed() {
			asOfLaw(t, l)
		}
	})
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			// Every script has a repository of its own, so that they can run side by side.
			name := filepath.Base(env.WorkDir)
			env.Setenv("PATH", l.Bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
			env.Setenv("WAYBILL_DIR", filepath.Join(l.Dir, "network"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("REG", l.Registry)
			env.Setenv("ARCH", runtime.GOARCH)
			for name, value := range built {
				env.Setenv(name, value)
			}
			env.Setenv("TEAM", name)
			env.Setenv("APP", l.Registry+"/"+name+"/app")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waybill":  session{l}.waybill,
			"code":     session{l}.code,
			"recorded": session{l}.recorded,
			"digest":   digest,
			"subst":    subst,
			"shorten":  shorten,
			"token":    token,
			"until":    until,
			"sigstore": ownSigstore,
			"grab":     grab,
			"pemkey":   pemKey,
			"images":   ownImages,
			"genesis":  session{l}.genesis,
			"offline":  offline,
		},
	})
}

// session gives scripts their commands. An act is final on the actor's own peer
// first: before any command of a script everybody has seen what came before it.
type session struct{ lab *lab.Lab }

func (s session) exec(ts *testscript.TestScript, args ...string) error {
	ts.Check(s.lab.Settle(context.Background()))
	return ts.Exec(args[0], args[1:]...)
}

// waybill …: runs the CLI, and wants it to succeed, or with ! to fail.
func (s session) waybill(ts *testscript.TestScript, neg bool, args []string) {
	switch err := s.exec(ts, append([]string{"waybill"}, args...)...); {
	case err != nil && !neg:
		ts.Fatalf("waybill %v: %v", args, err)
	case err == nil && neg:
		ts.Fatalf("waybill %v succeeded", args)
	}
}

// code N command…: the command must end with exit status N.
func (s session) code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = s.exec(ts, args[1:]...)
	if got := exitStatus(err); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := err.(interface{ ExitCode() int }); ok { // testscript returns the bare *exec.ExitError
		return e.ExitCode()
	}
	return -1
}

// recorded IMAGE: waits until a gateway knows the image.
func (s session) recorded(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(lab.Poll(context.Background(), 30*time.Second, func() error {
		if err := ts.Exec("waybill", "status", args[0], "--as", "platform/auditor"); err != nil {
			return fmt.Errorf("%s is not recorded: %w", args[0], err)
		}
		return nil
	}))
	ts.Check(s.lab.Settle(context.Background()))
}

// until PATTERN command…: runs the command again and again until its standard
// output matches, at most a minute: evidence comes by itself, and takes its time.
func until(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	ts.Check(lab.Poll(context.Background(), time.Minute, func() error {
		_ = ts.Exec(args[1], args[2:]...) // a verdict exits with more than yes and no
		if out := ts.ReadFile("stdout"); !pattern.MatchString(out) {
			return fmt.Errorf("no %q in:\n%s%s", args[0], out, ts.ReadFile("stderr"))
		}
		return nil
	}))
}

// grab VAR PATTERN: sets VAR to the first group of PATTERN in the last standard output.
func grab(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("no %q in:\n%s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], found[1])
}

// pemkey NAME: makes NAME.key and NAME.pub, an ECDSA P-256 key pair in PEM.
func pemKey(ts *testscript.TestScript, _ bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600))
}

// digest VAR IMAGE: sets VAR to the digest the registry gives for IMAGE.
func digest(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("crane", "digest", "--insecure", args[1]))
	out := ts.ReadFile("stdout")
	ts.Setenv(args[0], out[:len("sha256:")+64])
}

// shorten VAR DIGEST: sets VAR to the first digits of a digest.
func shorten(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], args[1][len("sha256:"):len("sha256:")+10])
}

// token VAR: sets VAR to the token that token.txt, what a log printed beside its lines, ends with.
func token(ts *testscript.TestScript, _ bool, args []string) {
	words := strings.Fields(ts.ReadFile("token.txt"))
	ts.Setenv(args[0], words[len(words)-1])
}

// subst FILE: replaces $REG and $TEAM in a file of the script.
func subst(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	text := os.Expand(ts.ReadFile(path), ts.Getenv)
	ts.Check(os.WriteFile(path, []byte(text), 0o600))
}
