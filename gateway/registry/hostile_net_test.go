package registry

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// zone is a DNS server of the test: what each name leads to, by the number of
// times it was asked. An answer is an address, or a name that it is an alias of.
type zone map[string]func(n int) []string

// resolver starts the server and returns a resolver that asks it and nothing else.
func (z zone) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go z.serve(conn)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z zone) serve(conn net.PacketConn) {
	asked, buffer := map[string]int{}, make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		name, end := "", 12 // RFC 1035, section 4.1: a header of 12 bytes, then the question
		for end < n && buffer[end] != 0 {
			length := int(buffer[end])
			name += string(buffer[end+1:end+1+length]) + "."
			end += 1 + length
		}
		name = strings.TrimSuffix(name, ".")
		question := buffer[12 : end+5]
		kind := binary.BigEndian.Uint16(question[len(question)-4:])
		var answers [][]byte
		if found, ok := z[name]; ok && kind == 1 {
			answers = records(name, found(asked[name]))
			asked[name]++
		}
		out := append([]byte{buffer[0], buffer[1], 0x81, 0x80, 0, 1, 0, byte(len(answers)), 0, 0, 0, 0}, question...)
		for _, a := range answers {
			out = append(out, a...)
		}
		_, _ = conn.WriteTo(out, from)
	}
}

// records writes an alias and its address, or addresses, with a life of zero seconds.
func records(owner string, values []string) (out [][]byte) {
	wire := func(name string) (b []byte) {
		for _, label := range strings.Split(name, ".") {
			b = append(append(b, byte(len(label))), label...)
		}
		return append(b, 0)
	}
	for _, v := range values {
		kind, data := byte(1), []byte(nil)
		if ip, err := netip.ParseAddr(v); err == nil {
			data = ip.AsSlice()
		} else {
			kind, data = 5, wire(v)
		}
		out = append(out, append(append(wire(owner), 0, kind, 0, 1, 0, 0, 0, 0, 0, byte(len(data))), data...))
		if kind == 5 {
			owner = v
		}
	}
	return out
}

// B20, B21: whatever a name leads to, by whichever detour and at whichever
// asking, the address is looked at when the connection is made.
func TestNamesThatLeadInside(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	var reached atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			_ = conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	always := func(values ...string) func(int) []string { return func(int) []string { return values } }
	inside := zone{
		"loopback.example": always("127.0.0.1"), "inside.example": always("10.0.0.7"), "metadata.example": always("169.254.169.254"), "nat.example": always("100.64.0.9"),
		"alias.example": always("far.example", "127.0.0.1"), "two.example": always("127.0.0.1", "169.254.169.254"),
		"moves.example": func(n int) []string { return [][]string{{"127.0.0.1"}, {"169.254.169.254"}, {"10.0.0.7"}}[n%3] },
	}
	dialer := newDialer(false)
	dialer.Resolver = inside.resolver(t)
	for _, host := range []string{
		"127.0.0.1", "::1", "0.0.0.0", "::", "169.254.169.254", "10.1.2.3", "fd00::1", "100.64.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "127.1",
		"2130706433", "0x7f000001", "0x7f.1", "017700000001", "localhost", "loopback.example", "LOOPBACK.example.", "inside.example", "metadata.example", "nat.example",
		"alias.example", "two.example", "moves.example", "moves.example", "moves.example", "loopback。example",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
		cancel()
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s was dialled", host)
		}
		if strings.HasSuffix(host, ".example") && !strings.Contains(fmt.Sprint(err), "allowed where the configuration") && !strings.Contains(fmt.Sprint(err), "never dialled") {
			t.Errorf("%s: %v, want a refused address", host, err)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
	// The listed exception is loopback and private, and still not metadata.
	dialer = newDialer(true)
	dialer.Resolver = inside.resolver(t)
	if conn, err := dialer.DialContext(t.Context(), "tcp", "loopback.example:"+port); err != nil {
		t.Errorf("allowed: %v", err)
	} else {
		_ = conn.Close()
	}
	if _, err := dialer.DialContext(t.Context(), "tcp", "metadata.example:"+port); err == nil || !strings.Contains(err.Error(), "never dialled") {
		t.Errorf("metadata, where private is allowed: %v", err)
	}
}

// B20, B21: a host that is written in another way than DNS and RFC 5952 write it
// cannot even be configured.
func TestHostsThatAreNone(t *testing.T) {
	for _, host := range []provenance.Host{
		"[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[fe80::1%25eth0]", "reg。example", "reg.example@127.0.0.1", "reg.example#", "reg.example/..", "reg.example:05", "reg.exаmple", "",
	} {
		if _, err := New(Config{Host: host}); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// B22: a registry that is spoken to over TLS cannot send its reader on to plain HTTP.
func TestNoWayDownFromTLS(t *testing.T) {
	_, d := sample()
	var plain atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { plain.Add(1) }))
	defer other.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"redirect":       func(w http.ResponseWriter, r *http.Request) { redirectBut(w, r, "http://"+r.Host+"/v2/x") },
		"redirect apart": func(w http.ResponseWriter, r *http.Request) { redirectBut(w, r, other.URL) },
		"realm":          func(w http.ResponseWriter, r *http.Request) { realm(w, "http://"+r.Host+"/token") },
		"realm apart":    func(w http.ResponseWriter, _ *http.Request) { realm(w, other.URL+"/token") },
	} {
		server := httptest.NewUnstartedServer(answer)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		ca := caFile(t, server)
		c := client(t, server, func(c *Config) {
			c.Insecure, c.CAFile, c.Username, c.PasswordFile = false, ca, "reader", passwordFile(t, "secret", 0o600)
		})
		if _, err := c.Manifest(t.Context(), "team/app", d); provenance.CodeOf(err) != provenance.Unavailable || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
	if plain.Load() > 0 {
		t.Error("plain HTTP was spoken")
	}
}

// B22: hops within the host end soon.
func TestHops(t *testing.T) {
	body, d := sample()
	for hops, want := range map[int]provenance.Code{3: "", 4: provenance.Unavailable, 20: provenance.Unavailable} {
		var asked atomic.Int32
		c := client(t, hostile(t, func(w http.ResponseWriter, r *http.Request) {
			if n := int(asked.Add(1)); n <= hops {
				http.Redirect(w, r, fmt.Sprintf("/v2/hop/%d", n), http.StatusFound)
				return
			}
			send(w, body)
		}), nil)
		if _, err := c.Manifest(t.Context(), "team/app", d); provenance.CodeOf(err) != want || asked.Load() > maxRedirects+1 {
			t.Errorf("%d hops: %v after %d requests, want %q", hops, err, asked.Load(), want)
		}
	}
}

// B22: where blobs are is not where credentials go, even if the registry says so.
func TestBlobHostsGetNoCredentials(t *testing.T) {
	body := []byte("a small document")
	d := provenance.SHA256Of(body)
	var there string // by name: go-containerregistry itself refuses realms that are private addresses
	var leaked atomic.Int32
	spy := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Method != http.MethodGet {
			leaked.Add(1)
		}
		if r.URL.Path == "/asks" {
			realm(w, there+"/token")
			return
		}
		_, _ = io.WriteString(w, `{"token":"x"}`)
	}
	blobs := httptest.NewServer(http.HandlerFunc(spy))
	defer blobs.Close()
	there = strings.Replace(blobs.URL, "127.0.0.1", "localhost", 1)
	for name, serve := range map[string]http.HandlerFunc{
		"realm at a blob host": func(w http.ResponseWriter, _ *http.Request) { realm(w, there+"/token") },
		"realm that sends on": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				http.Redirect(w, r, there+"/token", http.StatusTemporaryRedirect)
				return
			}
			realm(w, "http://"+r.Host+"/token")
		},
		"blob host that asks": func(w http.ResponseWriter, r *http.Request) { redirectBut(w, r, there+"/asks") },
		"ping that sends on":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, there+"/asks", http.StatusFound) },
	} {
		server := httptest.NewServer(serve)
		c := client(t, server, func(c *Config) {
			c.Username, c.PasswordFile, c.BlobHosts = "reader", passwordFile(t, "secret", 0o600), []provenance.Host{provenance.Host(strings.TrimPrefix(there, "http://"))}
		})
		if _, err := c.Document(t.Context(), "team/app", d, io.Discard); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		if leaked.Load() > 0 {
			t.Errorf("%s: the blob host was sent credentials", name)
			leaked.Store(0)
		}
		server.Close()
	}
}

// B23: neither the address of an upload nor those in a manifest lead anywhere else.
func TestAddressesInAnswersAreNotDialled(t *testing.T) {
	image, d := sample()
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	for _, location := range []string{strings.Replace(other.URL, "127.0.0.1", "localhost", 1) + "/upload", "//169.254.169.254/upload", "file:///tmp/x", "http://%zz", ""} {
		c := client(t, hostile(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case http.MethodHead:
				w.WriteHeader(http.StatusNotFound)
			case http.MethodPost:
				w.Header().Set("Location", location)
				w.WriteHeader(http.StatusAccepted)
			case http.MethodPut:
				t.Error("something was put")
			default:
				send(w, image)
			}
		}), nil)
		if _, err := c.Push(t.Context(), "team/app", Referrer{Subject: d, ArtifactType: docType, Blob: []byte("x")}); err == nil {
			t.Errorf("upload to %q: no error", location)
		}
	}
	foreign := []byte(strings.Replace(string(image), `"size":3370`, `"size":3370,"urls":["`+other.URL+`/layer","http://169.254.169.254/"]`, 1))
	foreign = []byte(strings.Replace(string(foreign), "v1.tar+gzip", "nondistributable.v1.tar+gzip", 1))
	c := client(t, hostile(t, func(w http.ResponseWriter, _ *http.Request) { send(w, foreign) }), nil)
	if _, err := c.Artifact(t.Context(), "team/app", provenance.SHA256Of(foreign)); err != nil {
		t.Errorf("a foreign layer: %v", err)
	}
	if asked.Load() > 0 {
		t.Error("another host was asked")
	}
}
