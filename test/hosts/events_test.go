package hosts_test

import (
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/test/hosts"
)

// TestEvents: the program that sends events writes down what it was promised, no more and no less: whether
// anything was lost is judged by that.
func TestEvents(t *testing.T) {
	bed := hosts.New(t, "vendor")
	if err := installPrograms(bed); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", hosts.BridgeAddress+":0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked, promised := 0, map[string]int{}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Events []notification `json:"events"`
		}
		err := json.NewDecoder(r.Body).Decode(&body)
		mu.Lock()
		defer mu.Unlock()
		if asked++; err != nil || asked%3 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		for _, e := range body.Events {
			promised[e.ID]++
		}
	})}
	go func() { _ = server.Serve(l) }()      // closed below
	t.Cleanup(func() { _ = server.Close() }) // and whatever it still answered was read by then
	vendor := bed.Host("vendor")
	if err := vendor.Write("secret", "a-secret\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := vendor.Run(t.Context(), "events", "-hook", "http://"+l.Addr().String()+"/", "-secret", "secret", "-out", "promised",
		"-host", "mirror.example", "-name", "a", "-count", "200", "-per", "4", "-workers", "3"); err != nil {
		t.Fatal(err)
	}
	told, err := promises(vendor.Path("promised"))
	if err != nil || len(told) < 200 || len(told) != len(promised) {
		t.Errorf("it was promised %d events and writes down %d, %v", len(promised), len(told), err)
	}
	for _, p := range told {
		if promised[p.ID] != 1 {
			t.Errorf("%s was promised %d times", p.ID, promised[p.ID])
		}
	}
}
