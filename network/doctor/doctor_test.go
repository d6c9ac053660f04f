package doctor

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/network/cert"
)

func TestSpace(t *testing.T) {
	for free, want := range map[uint64]Level{1 << 40: Fine, scarce: Fine, scarce - 1: Warning, empty: Warning, empty - 1: Failure, 0: Failure} {
		level, _, todo := space(free)
		if level != want || level != Fine && todo == "" {
			t.Errorf("%d bytes: %s, %q", free, level, todo)
		}
	}
}

// TestNoAddress: Fabric's peer does not start on a host with a loopback alone.
func TestNoAddress(t *testing.T) {
	parse := func(text string) net.Addr {
		ip, n, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		return &net.IPNet{IP: ip, Mask: n.Mask}
	}
	for _, tt := range []struct {
		addresses []net.Addr
		want      Level
	}{
		{nil, Failure},
		{[]net.Addr{parse("127.0.0.1/8"), parse("::1/128"), parse("fe80::1/64")}, Failure},
		{[]net.Addr{parse("127.0.0.1/8"), parse("10.0.0.1/24")}, Fine},
	} {
		if level, says, _ := reachable(tt.addresses); level != tt.want {
			t.Errorf("%v: %s, %s", tt.addresses, level, says)
		}
	}
}

func TestClockIsSaid(t *testing.T) {
	e := &examination{}
	for skew, want := range map[int]Level{0: Fine, -1: Warning, 1: Warning} {
		e.findings = nil
		e.clockOf("AuditMSP peer", skew)
		if len(e.findings) != 1 || e.findings[0].Level != want {
			t.Errorf("skew %d: %+v", skew, e.findings)
		}
	}
}

// TestConsenters: what the channel pins is everybody's matter, since too few that hold make no block.
func TestConsenters(t *testing.T) {
	pinned := func(s ...cert.Standing) (out []cert.Entry) {
		for i, standing := range s {
			out = append(out, cert.Entry{Name: fmt.Sprint("consenter ", i), Standing: standing, Consenter: true, Days: 10 - i, Expires: time.Unix(int64(1000-i), 0)})
		}
		return append(out, cert.Entry{Name: "orderer-enrolment", Standing: cert.Ended, Ours: true}, cert.Entry{Name: "VendorMSP root", Standing: cert.Ended})
	}
	for _, tt := range []struct {
		entries []cert.Entry
		want    Level
		says    string
	}{
		{pinned(cert.Good, cert.Good, cert.EndsSoon, cert.Good), Fine, "4 hold, the first to end is consenter 3, with 7 days left"},
		{pinned(cert.Good, cert.Good, cert.EndsSoon, cert.Ended), Warning, "certificates of 3 hold, as many as must"},
		{pinned(cert.Good, cert.Good, cert.IsRevoked, cert.Ended), Failure, "certificates of 2 hold, and 3 must"},
		{pinned(cert.Good), Fine, "1 hold"},
	} {
		e := &examination{}
		e.consenters(tt.entries)
		if len(e.findings) != 1 || e.findings[0].Level != tt.want || !strings.Contains(e.findings[0].Says, tt.says) {
			t.Errorf("%+v, want %s: %s", e.findings, tt.want, tt.says)
		}
	}
	e := &examination{}
	if e.consenters(nil); len(e.findings) != 0 {
		t.Errorf("of nobody: %+v", e.findings)
	}
}

func TestWorst(t *testing.T) {
	for want, findings := range map[Level][]Finding{
		Fine: {{Level: Fine}}, Warning: {{Level: Warning}, {Level: Fine}}, Failure: {{Level: Warning}, {Level: Failure}, {Level: Warning}},
	} {
		if got := Worst(findings); got != want {
			t.Errorf("%v: %s", findings, got)
		}
	}
}
