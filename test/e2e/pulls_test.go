package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/test/lab"
)

// TestPrivatePulls runs a registry whose pulls are private: a real client's
// pull is one fact; its owner's people see who it was, nobody else does, and no
// other organisation's disk holds a word of it.
func TestPrivatePulls(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	p := &pulling{consortium: newConsortium(ctx, t, l)}
	p.start()
	t.Run("a pull is one fact", p.folded)
	t.Run("its owner sees who, others a hash", p.seen)
	t.Run("a gateway killed with it in hand loses nothing", p.killed)
	t.Run("nobody else's disk holds it", p.scanned)
	t.Run("nobody else's peer tells it", p.asked)
	t.Run("purged is gone", p.purged)
}

const (
	pullRepo = "private/app"
	// Words that are nowhere but in what is to be hidden.
	secretActor = "actor-7f3ac1d0e5"
	secretAgent = "agent-90b2e4c711"
)

type pulling struct {
	*consortium
	index, platform string // digests
	sent            int
}

func (p *pulling) start() {
	p.own(p.lab.Registry)
	p.configure("allow_private: true}", "allow_private: true, pulls: private}")
	for _, org := range []string{"vendor", "audit"} {
		if err := p.lab.StartGateway(p.ctx, org); err != nil {
			p.t.Fatalf("%v\n%s", err, p.lab.Log("gateway-"+org))
		}
	}
	if err := p.lab.PushBlob(p.ctx, pullRepo); err != nil {
		p.t.Fatal(err)
	}
	var err error
	if p.platform, err = p.lab.PushImage(p.ctx, pullRepo, "amd64", "amd64"); err != nil {
		p.t.Fatal(err)
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{map[string]any{
			"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": p.platform, "size": p.size("amd64"), "platform": map[string]string{"os": "linux", "architecture": "amd64"},
		}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.index = provenance.SHA256Of(manifest).String()
	p.send(http.MethodPut, "http://"+p.lab.Registry+"/v2/"+pullRepo+"/manifests/1.0", "application/vnd.oci.image.index.v1+json", manifest, http.StatusCreated)
	p.until(func() error {
		out, code := p.lab.Waybill(p.ctx, "status", p.image(), "--as", "vendor/auditor")
		if code != 0 {
			return fmt.Errorf("status: exit %d: %s", code, out)
		}
		return nil
	})
}

// configure changes the settings of vendor's gateway, for its next start.
func (p *pulling) configure(old, text string) {
	p.t.Helper()
	config := p.lab.GatewayConfig("vendor")
	b, err := os.ReadFile(config)
	if err == nil && !strings.Contains(string(b), old) {
		err = fmt.Errorf("%s does not say %s", config, old)
	}
	if err == nil {
		err = os.WriteFile(config, []byte(strings.Replace(string(b), old, text, 1)), 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *pulling) image() string { return p.lab.Registry + "/" + pullRepo + "@" + p.index }

// size reads a manifest with a program of its own name: a pull like any other.
func (p *pulling) size(tag string) int64 {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.ctx, http.MethodGet, "http://"+p.lab.Registry+"/v2/"+pullRepo+"/manifests/"+tag, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	req.Header.Set("User-Agent", "sizer/1")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close() // its length is what is wanted
	return resp.ContentLength
}

func (p *pulling) send(method, url, contentType string, body []byte, want int) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.ctx, method, url, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+lab.Secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close() // nothing of it is wanted
	if resp.StatusCode != want {
		p.t.Fatalf("%s %s: %s", method, url, resp.Status)
	}
}

func (p *pulling) until(try func() error) {
	p.t.Helper()
	if err := lab.Poll(p.ctx, 60*time.Second, try); err != nil {
		p.t.Fatal(err)
	}
}

// notify tells the gateway of a pull as the registry would, by somebody with a name.
func (p *pulling) notify() {
	p.t.Helper()
	p.sent++
	hooks := strings.Split(p.lab.HookURL(), "/")[2]
	p.until(func() error { // it answers questions a moment before it takes notifications
		conn, err := new(net.Dialer).DialContext(p.ctx, "tcp", hooks)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	p.send(http.MethodPost, p.lab.HookURL(), "application/vnd.docker.distribution.events.v1+json", fmt.Appendf(nil, `{"events":[{"id":"3f0c6a0e-0000-4000-8000-%012d","timestamp":%q,"action":"pull",
	 "target":{"mediaType":"application/vnd.oci.image.index.v1+json","digest":%q,"size":400,"length":400,"repository":%q,"url":"http://%s/v2/%s/manifests/%s"},
	 "request":{"id":"r","addr":"203.0.113.77:4711","host":%q,"method":"GET","useragent":"%s/%d"},"actor":{"name":%q},"source":{"addr":"r:5000","instanceID":"i"}}]}`,
		p.sent, time.Now().UTC().Format(time.RFC3339Nano), p.index, pullRepo, p.lab.Registry, pullRepo, p.index, p.lab.Registry, secretAgent, p.sent, secretActor), http.StatusOK)
}

type shownPull struct {
	Actor, Address, UserAgent, Blind, Withheld string
}

// pulls asks as a person, on its own organisation's gateway or on another.
func (p *pulling) pulls(who string, more ...string) ([]shownPull, error) {
	out, code := p.lab.Waybill(p.ctx, append([]string{"pulls", p.image(), "--as", who, "-o", "json"}, more...)...)
	if code != 0 {
		return nil, fmt.Errorf("waybill pulls as %s: exit %d: %s", who, code, out)
	}
	var list struct{ Pulls []shownPull }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("waybill pulls as %s: %w: %s", who, err, out)
	}
	return list.Pulls, nil
}

// shown waits until somebody sees n pulls, each of them to ok's liking.
func (p *pulling) shown(n int, ok func(shownPull) bool, who string, more ...string) []shownPull {
	p.t.Helper()
	var list []shownPull
	p.until(func() (err error) {
		if list, err = p.pulls(who, more...); err != nil {
			return err
		}
		if len(list) != n {
			return fmt.Errorf("%s sees %d pulls, want %d: %+v", who, len(list), n, list)
		}
		for _, one := range list {
			if !ok(one) {
				return fmt.Errorf("%s sees %+v", who, one)
			}
		}
		return nil
	})
	return list
}

func open(s shownPull) bool { return s.Withheld == "" && s.Address != "" && s.Blind != "" }

func hashed(s shownPull) bool {
	return s.Actor+s.Address+s.UserAgent == "" && strings.HasPrefix(s.Blind, "sha256:") && s.Withheld == "kept by VendorMSP"
}

func gone(s shownPull) bool {
	return s.Actor+s.Address+s.UserAgent == "" && s.Blind != "" && strings.Contains(s.Withheld, "purged")
}

func (p *pulling) folded(t *testing.T) {
	p.t = t
	to := filepath.Join(t.TempDir(), "image")
	// HEAD or GET of the tag, GET of the index, GET of the platform: one pull.
	if out, err := p.lab.Crane(p.ctx, "pull", "--format", "oci", "--platform", "linux/amd64", p.lab.Registry+"/"+pullRepo+":1.0", to); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	list := p.shown(1, open, "vendor/auditor")
	if list[0].Address != "127.0.0.1" || !strings.Contains(list[0].UserAgent, "crane") {
		t.Errorf("crane was seen as %+v", list[0])
	}
	out, code := p.lab.Waybill(p.ctx, "pulls", p.lab.Registry+"/"+pullRepo+"@"+p.platform, "--as", "vendor/auditor", "--since", "1h")
	if code != 0 || !strings.Contains(out, "sizer/1") || strings.Contains(out, "crane") {
		t.Errorf("crane's pull of the platform was a pull of its own: exit %d\n%s", code, out)
	}
}

func (p *pulling) seen(t *testing.T) {
	p.t = t
	p.notify()
	list := p.shown(2, open, "vendor/auditor")
	if got := list[0]; got.Actor != secretActor || got.Address != "203.0.113.77" || got.UserAgent != secretAgent+"/1" {
		t.Errorf("its owner sees %+v", got)
	}
	p.shown(2, hashed, "audit/auditor")
	vendor, err := p.lab.Clients.Org("vendor")
	if err != nil {
		t.Fatal(err)
	}
	// The owner's own gateway does not tell another organisation's people either.
	p.shown(2, hashed, "audit/auditor", "--gateway", vendor.GatewayAddress)
	table, _ := p.lab.Waybill(p.ctx, "pulls", p.image(), "--as", "vendor/auditor")
	t.Logf("to its owner:\n%s", table)
	table, _ = p.lab.Waybill(p.ctx, "pulls", p.image(), "--as", "audit/auditor")
	t.Logf("to others:\n%s", table)
}

func (p *pulling) killed(t *testing.T) {
	p.t = t
	for range 5 {
		p.notify()
		if err := p.lab.KillGateway("vendor"); err != nil {
			t.Fatal(err)
		}
		if err := p.lab.StartGateway(p.ctx, "vendor"); err != nil {
			t.Fatal(err)
		}
	}
	list := p.shown(2+5, open, "vendor/auditor")
	for i, one := range list[:5] {
		if one.UserAgent != fmt.Sprintf("%s/%d", secretAgent, p.sent-i) {
			t.Errorf("pull %d: %+v", i, one)
		}
	}
}

// purged has one segment's clients purged by hand, and the others by their gateway.
func (p *pulling) purged(t *testing.T) {
	p.t = t
	hidden, _ := p.segments()
	p.act("vendor/admin", "record:PurgeClients", hidden[len(hidden)-1]...) // the first is of the platform's image
	p.until(func() error {
		list, err := p.pulls("vendor/auditor")
		if err == nil && (len(list) != 7 || !slices.ContainsFunc(list, gone) || !slices.ContainsFunc(list, open)) {
			err = fmt.Errorf("one of several segments is purged, and shown is %+v", list)
		}
		return err
	})
	p.configure("pulls: private}", "pulls: private, keep_clients: 1s}")
	if err := p.lab.KillGateway("vendor"); err != nil {
		t.Fatal(err)
	}
	if err := p.lab.StartGateway(p.ctx, "vendor"); err != nil {
		t.Fatal(err)
	}
	p.shown(7, gone, "vendor/auditor")
}
