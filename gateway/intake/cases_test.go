package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// told is what a registry sends: bodies, one after the other, with the headers beside each.
type told struct {
	Files        []string          `json:"files"`
	Kind         string            `json:"kind"`
	Host         provenance.Host   `json:"host"`
	Headers      map[string]string `json:"headers"` // "+Name": beside another of that name
	Repositories []string          `json:"repositories"`
	Origins      []string          `json:"origins"`
	Prefixes     map[string]string `json:"prefixes"`
	Expected     string            `json:"expected"`
}

// recorded sends the bodies to a connector, lets the recorder work, and returns what
// stands on the ledger then. The registry serves whatever it is asked for.
func (c told) recorded(t *testing.T, bodies [][]byte) (out []string, statuses []int) {
	t.Helper()
	b := recordtest.New(t)
	b.Readers = func(host provenance.Host) (record.Registry, bool) {
		return recordtest.FakeRegistry(func(_ provenance.Repository, d provenance.Digest) (registry.Facts, error) {
			facts := registry.Facts{MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 42}
			if d.IsZero() {
				facts.Config = provenance.SHA256Of([]byte(host)) // what every tag names
			}
			return facts, nil
		}), true
	}
	b.Reopen()
	connector := Connector{
		Name: "main", Kind: c.Kind, Host: c.Host, Secrets: [][]byte{[]byte(secretA)}, Repositories: c.Repositories, Origins: c.Origins, Prefixes: c.Prefixes,
	}
	h, err := New(Config{Connectors: []Connector{connector}, Sink: b.Queue, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range bodies {
		header := http.Header{"Content-Type": {"application/json"}}
		for _, beside := range []string{"", "+"} {
			for name, value := range c.Headers {
				if strings.HasPrefix(name, "+") != (beside != "") {
					continue
				}
				if beside == "" {
					header.Set(name, value)
				} else {
					header.Add(name[1:], value)
				}
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, requestOf(t, connector, body, body, header))
		statuses = append(statuses, w.Code)
	}
	b.Run(t.Context(), recordtest.Empty)
	b.Ledger.Mu.Lock()
	defer b.Ledger.Mu.Unlock()
	for _, events := range b.Ledger.Endorsed {
		for _, e := range events {
			out = append(out, fmt.Sprintf("%s %s:%s", e.Action, e.Repository, e.Tag))
		}
	}
	return out, statuses
}

// sharedCases finds the folder beside the repository, or above it, that holds what real
// registries were seen to send.
func sharedCases() (string, bool) {
	at, err := os.Getwd()
	for err == nil && at != filepath.Dir(at) {
		at = filepath.Dir(at)
		folder := filepath.Join(at, "shared", "cases", "intake")
		if _, err := os.Stat(filepath.Join(folder, "cases.json")); err == nil {
			return folder, true
		}
	}
	return "", false
}

// What real registries were seen to send, all the way to the ledger.
func TestSharedCases(t *testing.T) {
	folder, ok := sharedCases()
	if !ok {
		t.Log("NOT RUN: what real registries sent: no shared/cases beside the repository; it has counterparts in testdata")
		return
	}
	raw, err := os.ReadFile(filepath.Join(folder, "cases.json"))
	var all []told
	if err = errors.Join(err, json.Unmarshal(raw, &all)); err != nil || len(all) == 0 {
		t.Fatalf("%d cases, %v", len(all), err)
	}
	for _, c := range all {
		t.Run(c.Kind+"/"+c.Files[0], func(t *testing.T) {
			var bodies [][]byte
			for _, name := range c.Files {
				body, err := os.ReadFile(filepath.Join(folder, name))
				if err != nil {
					t.Fatal(err)
				}
				bodies = append(bodies, body)
			}
			got, statuses := c.recorded(t, bodies)
			for i, status := range statuses {
				if status/100 != 2 {
					t.Errorf("%s: %d", c.Files[i], status)
				}
			}
			var want []string
			text := strings.TrimPrefix(c.Expected, "one push of ")
			if text != c.Expected {
				text = "push " + text
			}
			if image, ok := strings.CutPrefix(text, "push "); ok {
				image, _, _ = strings.Cut(image, " ")
				want = []string{"push " + image}
			}
			if !slices.Equal(got, want) {
				t.Errorf("recorded %q, want %q: %s", got, want, c.Expected)
			}
		})
	}
}

// One upload to Nexus as it sends it: created, and then updated ten times within some
// seconds. It is one push; an upload that moves the tag a second later is another.
func TestNexusFlood(t *testing.T) {
	c := told{Kind: KindNexus, Host: "nexus.example.net:8083", Prefixes: map[string]string{"docker-hosted": ""}}
	created, _ := load(t, KindNexus, "created")
	var bodies [][]byte
	for i := range 27 {
		action, at := "UPDATED", fmt.Sprintf("2026-03-02T09:14:%02d.%03d", 5+i/10, i%10*97)
		if i == 0 {
			action = "CREATED"
		}
		body := bytes.ReplaceAll(created, []byte("CREATED"), []byte(action))
		bodies = append(bodies, bytes.ReplaceAll(body, []byte("2026-03-02T09:14:05.664"), []byte(at)))
	}
	if bytes.Equal(bodies[1], bodies[2]) || bytes.Equal(bodies[0], bodies[1]) {
		t.Fatal("the fixture has changed: these are one body")
	}
	got, statuses := c.recorded(t, bodies)
	if want := []string{"push team-a/billing:1.4.0"}; !slices.Equal(got, want) || slices.ContainsFunc(statuses, func(s int) bool { return s != 200 }) {
		t.Errorf("answered %v, recorded %q, want %q", statuses, got, want)
	}
}
