package connlimit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/wait"
	"github.com/waybill-dev/waybill/gateway/wait/waittest"
)

// hookPlaces are the requests of one connector that are served at once.
const hookPlaces = 8

// hooksOf serves connectors over TCP, in front of a real queue, as Run does.
func hooksOf(t *testing.T, names ...string) (address string, q *queue.Queue) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := queue.Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(t.Context(), path, queue.Options{Lanes: 1, MinFreeBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	var all []intake.Connector
	for _, name := range names {
		all = append(all, harbor(name))
	}
	hooks, err := intake.New(intake.Config{Connectors: all, Sink: q, Concurrency: hookPlaces, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Listen(ctx, "hooks.listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := ServeHTTP(ctx, l, hooks); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l.Addr().String(), q
}

// from dials from an address of this machine's own network.
func from(t *testing.T, source, address string) (net.Conn, error) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: 5 * time.Second}
	return d.DialContext(t.Context(), "tcp", address)
}

// F18: thousands of connections that never finish their question, and slow
// bodies of one registry whose secret is known, keep nobody else out.
func TestSlowSendersKeepNobodyOut(t *testing.T) {
	address, q := hooksOf(t, "noisy", "quiet")
	crowdOf := 5000
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	crowdOf = min(crowdOf, int(files.Cur/4)) // both ends are ours here
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	// The noisy registry's own places are taken by bodies that do not come. One
	// that arrives while a question of ours has the last place is turned away itself.
	deadline := time.Now().Add(9 * time.Second) // the bodies are waited for a little longer
	for n := 0; ; n++ {
		conn, err := from(t, "127.0.0.3", address)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
		_, err = fmt.Fprintf(conn, "POST /hooks/noisy HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", secret)
		if err != nil {
			t.Fatal(err)
		}
		if n < hookPlaces {
			continue
		}
		got := notify(t, address, "noisy", 0)
		if got == http.StatusTooManyRequests {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the noisy registry's next one: %d beside %d bodies that do not come, want 429", got, n)
		}
	}
	if got := notify(t, address, "quiet", 1000); got != http.StatusOK {
		t.Errorf("the quiet registry beside slow bodies: %d", got)
	}
	for range crowdOf {
		conn, err := from(t, "127.0.0.2", address)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
		_, _ = io.WriteString(conn, "POST /hooks/noisy HTTP/1.1\r\nHost: x\r\nX-Slow: ") // one that was closed says so later
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse); grown > 128<<20 {
		t.Errorf("%d MiB for %d connections", grown>>20, len(open))
	}
	var wg sync.WaitGroup
	began := time.Now()
	for worker := range hookPlaces / 2 {
		wg.Go(func() {
			for n := range 25 {
				if got := notify(t, address, "quiet", 25*worker+n); got != http.StatusOK {
					t.Errorf("the quiet registry: %d", got)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	t.Logf("100 notifications in %s beside %d connections", took, len(open))
	if s, err := q.Stats(t.Context()); err != nil || s.Pending < 100 {
		t.Errorf("%+v, %v", s, err)
	}
}

func notify(t *testing.T, address, connector string, n int) int {
	c := harbor(connector)
	r, err := intake.Sample(t.Context(), c, "http://"+address, provenance.Event{
		ID: provenance.NewEventID("t", "t", fmt.Sprint(n)), Repository: "team/app", Tag: "1.0", Digest: provenance.SHA256Of(fmt.Append(nil, n)), OccurredAt: time.Now(),
	})
	if err != nil {
		t.Error(err)
		return 0
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(strings.ReplaceAll(err.Error(), secret, "…"))
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestConnectionLimit(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := bounded(l)
	if c.all < c.each || c.each < 1 || c.all > maxConnections {
		t.Errorf("%d in all, %d each", c.all, c.each)
	}
	c.all, c.each = 3, 2
	defer c.Close() //nolint:errcheck // it only listened
	let := make(chan net.Conn)
	go func() {
		for {
			conn, err := c.Accept()
			if err != nil {
				close(let)
				return
			}
			let <- conn
		}
	}()
	enter := func(source string, want bool) (inside net.Conn) {
		t.Helper()
		conn, err := from(t, source, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		closed := make(chan struct{})
		go func() { _, _ = conn.Read(make([]byte, 1)); close(closed) }()
		select {
		case inside = <-let:
			if !want {
				t.Errorf("one more of %s was let in", source)
			}
		case <-closed:
			if want {
				t.Errorf("%s was not let in", source)
			}
		}
		return inside
	}
	first := enter("127.0.0.2", true)
	enter("127.0.0.2", true)
	enter("127.0.0.2", false)
	enter("127.0.0.3", true)
	enter("127.0.0.4", false) // all are taken
	_ = first.Close()
	_ = first.Close() // net/http may close twice; it left once
	enter("127.0.0.4", true)
	enter("127.0.0.2", false)
	if len(c.by) != 3 || c.open != 3 {
		t.Errorf("%d open, %v", c.open, c.by)
	}
}

// A process without a file left goes on when there is one again. It is another
// process, which may open 64 files: this one has others that need theirs.
func TestNoFileLeft(t *testing.T) {
	if os.Getenv("WAYBILL_TEST_NO_FILE") == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestNoFileLeft$", "-test.v")
		cmd.Env = append(os.Environ(), "WAYBILL_TEST_NO_FILE=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	inner := &starving{Listener: must(net.Listen("tcp", "127.0.0.1:0"))}
	l := bounded(inner)
	if 3*l.all > 64 || l.each < 1 {
		t.Errorf("three listeners of %d connections, of 64 files", l.all)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		done <- ServeHTTP(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	}()
	waiting := must(from(t, "127.0.0.2", l.Addr().String()))
	var files []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		files = append(files, f)
	}
	// The listener's queue in the kernel takes one more than it may accept.
	_ = files[0].Close()
	next, err := from(t, "127.0.0.2", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, func() bool { return inner.starved.Load() > 2 })
	select {
	case err := <-done:
		t.Fatalf("the server ended: %v", err)
	default:
	}
	for _, f := range files[1:] {
		_ = f.Close()
	}
	_ = waiting.Close()
	if _, err := io.WriteString(next, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = next.SetDeadline(time.Now().Add(5 * time.Second))
	if answer, err := io.ReadAll(next); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 204") {
		t.Errorf("%q, %v", answer, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// starving counts how often there was no file.
type starving struct {
	net.Listener
	starved atomic.Int64
}

func (s *starving) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if errors.Is(err, syscall.EMFILE) {
		s.starved.Add(1)
	}
	return conn, err
}

// noFiles is a machine that has none left.
type noFiles struct{ net.Listener }

func (noFiles) Accept() (net.Conn, error) { return nil, syscall.EMFILE }

// A listener that waits for a file ends when it is closed.
func TestStarvingListenerCloses(t *testing.T) {
	l := bounded(noFiles{must(net.Listen("tcp", "127.0.0.1:0"))})
	done := make(chan error)
	go func() {
		_, err := l.Accept()
		done <- err
	}()
	_ = wait.For(t.Context(), 20*time.Millisecond)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it waits on")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestIdleConnectionsEndNothing: whoever opens connections to the API or to the
// metrics and says nothing holds a share of them, and neither keeps others out
// nor takes the process's last file.
func TestIdleConnectionsEndNothing(t *testing.T) {
	for _, key := range []string{"api.listen", "metrics.listen"} {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := Listen(ctx, key, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		bounded, ok := l.(*listener)
		if !ok {
			t.Fatalf("%s has no bound", key)
		}
		bounded.all, bounded.each = 40, 10
		done := make(chan error, 1)
		go func() {
			done <- ServeHTTP(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
		}()
		var idle []net.Conn
		for range 200 {
			conn, err := from(t, "127.0.0.2", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			idle = append(idle, conn)
		}
		response, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatalf("%s beside idle connections: %v", key, err)
		}
		_ = response.Body.Close()
		bounded.mu.Lock()
		if bounded.open > 11 {
			t.Errorf("%s: %d connections are held", key, bounded.open)
		}
		bounded.mu.Unlock()
		cancel()
		for _, conn := range idle { // a server that ends gives a new connection seconds to say something
			_ = conn.Close()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

const secret = "correct-horse-battery"

func harbor(name string) intake.Connector {
	return intake.Connector{Name: name, Kind: "harbor", Host: "reg.example:5000", Secrets: [][]byte{[]byte(secret)}}
}
