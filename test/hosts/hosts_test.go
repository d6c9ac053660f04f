package hosts_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/test/hosts"
	"github.com/waybill-dev/waybill/test/lab"
)

// names of the hosts: an organisation has one each.
func names() []string { return []string{"vendor", "security", "platform", "audit", "newcomer"} }

// serving is a testbed of five hosts, on each of which a program answers.
func serving(t *testing.T) *hosts.Testbed {
	t.Helper()
	bed := hosts.New(t, names()...)
	if err := installPrograms(bed); err != nil {
		t.Fatal(err)
	}
	for _, h := range bed.Hosts {
		serve(t, h)
	}
	return bed
}

func serve(t *testing.T, h *hosts.Host) *hosts.Process {
	t.Helper()
	p, err := h.Start("tcp", "tcp", "serve", h.Service("peer")+":7051", h.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Poll(t.Context(), 5*time.Second, func() error {
		_, err := h.Run(t.Context(), "tcp", "ask", h.Service("peer")+":7051")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

// ask asks one host's program from another.
func ask(t *testing.T, from, to *hosts.Host, count int) (answer string, mean time.Duration, err error) {
	t.Helper()
	out, err := from.Run(t.Context(), "tcp", "ask", to.Service("peer")+":7051", fmt.Sprint(count))
	if err != nil {
		return "", 0, err
	}
	answer, micros, _ := strings.Cut(strings.TrimSpace(out), "\n")
	var n int64
	_, err = fmt.Sscan(micros, &n)
	return answer, time.Duration(n) * time.Microsecond, err
}

// TestHosts: machines of their own, which reach each other by name and port and no other way.
func TestHosts(t *testing.T) {
	bed := serving(t)
	for _, from := range bed.Hosts {
		for _, to := range bed.Hosts {
			answer, _, err := ask(t, from, to, 1)
			if want := fmt.Sprintf("%s hears \"hello\" of %s", to.Name, from.Address); err != nil || answer != want {
				t.Errorf("%s asks %s: %q, %v, want %q", from.Name, to.Name, answer, err, want)
			}
		}
	}
	t.Run("a file tree and a user of its own", func(t *testing.T) { trees(t, bed) })
	t.Run("a pulled cable", func(t *testing.T) { cables(t, bed) })
	t.Run("a long line", func(t *testing.T) { lines(t, bed) })
	t.Run("a failing power supply", func(t *testing.T) { power(t, bed) })
}

func trees(t *testing.T, bed *hosts.Testbed) {
	users := map[string]string{}
	for _, h := range bed.Hosts {
		if _, err := h.Run(t.Context(), "sh", "-c", "echo mine > /srv/note && echo mine > /tmp/note"); err != nil {
			t.Error(err)
		}
		user, err := h.Run(t.Context(), "id", "-u")
		if other := users[user]; err != nil || other != "" || user == "0\n" {
			t.Errorf("%s runs as %q, %v, as does %q", h.Name, user, err, other)
		}
		users[user] = h.Name
	}
	for _, h := range bed.Hosts {
		// Their folders, as this machine sees them, and by the processes that the host sees.
		for _, other := range bed.Hosts {
			if out, err := h.Run(t.Context(), "cat", other.Path("note")); err == nil {
				t.Errorf("%s reads the files of %s: %s", h.Name, other.Name, out)
			}
		}
		out, err := h.Run(t.Context(), "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; hostname; ls /srv /tmp")
		if err != nil {
			t.Error(err)
		}
		for _, other := range bed.Hosts {
			if (other == h) != strings.Contains(out, "peer."+other.Domain()) {
				t.Errorf("%s sees these processes: %s", h.Name, out)
			}
		}
		if out, err := h.Run(t.Context(), "sh", "-c", "echo changed > /usr/local/bin/tcp"); err == nil {
			t.Errorf("%s changes the programs of all: %s", h.Name, out)
		}
	}
}

func cables(t *testing.T, bed *hosts.Testbed) {
	vendor, security, platform := bed.Host("vendor"), bed.Host("security"), bed.Host("platform")
	if err := vendor.Cut(); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]*hosts.Host{{vendor, security}, {security, vendor}} {
		if answer, _, err := ask(t, pair[0], pair[1], 1); err == nil {
			t.Errorf("%s asks %s over a pulled cable: %s", pair[0].Name, pair[1].Name, answer)
		}
	}
	for _, pair := range [][2]*hosts.Host{{vendor, vendor}, {security, platform}} {
		if _, _, err := ask(t, pair[0], pair[1], 1); err != nil {
			t.Error(err)
		}
	}
	if err := vendor.Heal(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(t, security, vendor, 1); err != nil {
		t.Error(err)
	}
}

func lines(t *testing.T, bed *hosts.Testbed) {
	vendor, security, platform := bed.Host("vendor"), bed.Host("security"), bed.Host("platform")
	_, before, err := ask(t, vendor, security, 50)
	if err != nil || before > 10*time.Millisecond {
		t.Errorf("an answer takes %s without delay, %v", before, err)
	}
	for _, h := range bed.Hosts {
		if err := h.SetDelay(10 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	for _, pair := range [][2]*hosts.Host{{vendor, security}, {security, vendor}, {platform, security}} {
		_, with, err := ask(t, pair[0], pair[1], 20)
		t.Logf("%s asks %s: %s, without delay %s", pair[0].Name, pair[1].Name, with, before)
		if err != nil || with < 40*time.Millisecond || with > 60*time.Millisecond {
			t.Errorf("an answer takes %s with 4 times 10 ms, %v", with, err)
		}
	}
	if _, alone, err := ask(t, vendor, vendor, 20); err != nil || alone > 10*time.Millisecond {
		t.Errorf("a host asks itself: %s, %v", alone, err)
	}
	// A cable is pulled from a long line as well.
	if err := vendor.Cut(); err != nil {
		t.Fatal(err)
	}
	if answer, _, err := ask(t, security, vendor, 1); err == nil {
		t.Errorf("over a pulled cable: %s", answer)
	}
	if err := vendor.Heal(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(t, security, vendor, 1); err != nil {
		t.Error(err)
	}
	for _, h := range bed.Hosts {
		if err := h.SetDelay(0); err != nil {
			t.Fatal(err)
		}
	}
	if _, after, err := ask(t, vendor, security, 50); err != nil || after > 10*time.Millisecond {
		t.Errorf("an answer takes %s after the delay, %v", after, err)
	}
}

func power(t *testing.T, bed *hosts.Testbed) {
	audit := bed.Host("audit")
	if err := audit.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(t, bed.Host("vendor"), audit, 1); err == nil {
		t.Error("a host without power answers")
	}
	if _, err := audit.Run(t.Context(), "true"); err == nil {
		t.Error("a host without power runs programs")
	}
	if err := errors.Join(audit.Wipe(), audit.Boot()); err != nil {
		t.Fatal(err)
	}
	if out, err := audit.Run(t.Context(), "sh", "-c", "ls -A /srv"); err != nil || strings.TrimSpace(out) != "tmp" {
		t.Errorf("a wiped host holds %q, %v", out, err)
	}
	p := serve(t, audit)
	// Who asked in vain remembers for a moment that nobody is there.
	if err := lab.Poll(t.Context(), 5*time.Second, func() error {
		_, _, err := ask(t, bed.Host("vendor"), audit, 1)
		return err
	}); err != nil {
		t.Error(err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := lab.Poll(t.Context(), 5*time.Second, func() error {
		if ended, _ := p.Ended(); !ended {
			return errors.New("the program runs after its signal")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestForeignKeys: whatever a host holds of another's private key is found, and nothing with one in it crosses.
func TestForeignKeys(t *testing.T) {
	bed := hosts.New(t, names()...)
	var vendors []byte
	for _, h := range bed.Hosts {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		write(t, h.Path("priv_sk"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		if vendors == nil {
			if vendors, err = k.Bytes(); err != nil {
				t.Fatal(err)
			}
		}
	}
	vendor, security := bed.Host("vendor"), bed.Host("security")
	search := func() []string {
		t.Helper()
		found, keys, _, err := bed.ForeignKeys()
		if err != nil || keys < len(bed.Hosts) {
			t.Fatalf("of %d keys: %v", keys, err)
		}
		return found
	}
	if found := search(); len(found) != 0 {
		t.Fatalf("found before anything was hidden: %q", found)
	}
	raw, err := os.ReadFile(vendor.Path("priv_sk"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, _ := pem.Decode(raw)
	for what, text := range map[string][]byte{
		"the file":                    raw,
		"in a JSON string":            fmt.Appendf(nil, `{"key": %q}`, raw),
		"DER":                         parsed.Bytes,
		"base64 between other things": []byte("x" + strings.Join(strings.Split(string(raw), "\n")[1:4], "")),
		"the scalar in a log":         []byte("signing with " + hex.EncodeToString(vendors)),
		"the scalar in a database":    append([]byte("sqlite "), append(vendors, 0, 1, 2)...),
	} {
		write(t, security.Path("hidden"), text)
		if found := search(); len(found) == 0 || !strings.Contains(found[0], "vendor") {
			t.Errorf("%s is not found: %q", what, found)
		}
		if err := bed.Carry(security, "hidden", bed.Host("audit"), "hidden"); err == nil {
			t.Errorf("%s crosses", what)
		}
	}
	if err := os.Remove(security.Path("hidden")); err != nil {
		t.Fatal(err)
	}
	descriptor := `{"payloadType":"application/vnd.waybill.organization+json","payload":"","note":"%s"}`
	write(t, vendor.Path("a.json"), fmt.Appendf(nil, descriptor, "public"))
	write(t, vendor.Path("b.json"), fmt.Appendf(nil, descriptor, hex.EncodeToString(vendors)))
	write(t, vendor.Path("c.txt"), []byte("hello"))
	if err := bed.Carry(vendor, "a.json", security, "a.json"); err != nil {
		t.Error(err)
	}
	for _, file := range []string{"b.json", "c.txt", "priv_sk"} {
		if err := bed.Carry(vendor, file, security, file); err == nil {
			t.Errorf("%s crosses", file)
		}
	}
	if out, err := security.Run(t.Context(), "cat", "a.json"); err != nil || !strings.Contains(out, "public") {
		t.Errorf("what was carried reads %q, %v", out, err)
	}
	if crossed := bed.Crossed(); len(crossed) != 1 || crossed[0].Kind != hosts.Descriptor || crossed[0].From != "vendor" || crossed[0].To != "security" {
		t.Errorf("crossed: %+v", crossed)
	}
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
