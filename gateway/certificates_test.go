package gateway

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/gateway/metrics"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// TestNamesInCertificates: what another organisation wrote into its certificate neither ends our metrics nor fills them.
func TestNamesInCertificates(t *testing.T) {
	for _, text := range []string{"vendor-orderer", "\xff\xfe", strings.Repeat("ä", 5000)} {
		got := name(&x509.Certificate{Subject: pkix.Name{CommonName: text}})
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > longestName || text == "vendor-orderer" && got != text {
			t.Errorf("%.20q becomes %.200q", text, got)
		}
	}
}

func TestCertificateMetrics(t *testing.T) {
	path := t.TempDir() + "/queue.db"
	if err := queue.Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(t.Context(), path, queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // the test is over
	now := time.Now()
	m := metrics.New(q)
	m.Certificates(func() []readmodel.Certificate {
		return []readmodel.Certificate{
			{Org: "VendorMSP", Use: "root", Name: "CA", NotAfter: now.Add(time.Hour)},
			{Org: "VendorMSP", Use: "root", Name: "CA", NotAfter: now.Add(-time.Hour)}, // of one name, as in a roll-over
			{Org: "AuditMSP", Use: "orderer", Name: "audit-orderer", NotAfter: now.Add(time.Hour)},
		}
	})
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "waybill_certificate_seconds_left" {
			continue
		}
		if len(f.GetMetric()) != 2 {
			t.Errorf("%d series", len(f.GetMetric()))
		}
		for _, s := range f.GetMetric() {
			if v := s.GetGauge().GetValue(); s.GetLabel()[1].GetValue() == "VendorMSP" && v > -3500 {
				t.Errorf("the one that has ended is hidden by the other: %v", v)
			}
		}
	}
}

func TestEndsSoon(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		life, left time.Duration
		want       bool
	}{
		{2 * 365 * 24 * time.Hour, 31 * 24 * time.Hour, false}, {2 * 365 * 24 * time.Hour, 30 * 24 * time.Hour, true},
		{10 * time.Minute, 4 * time.Minute, false}, {10 * time.Minute, 3 * time.Minute, true}, {time.Hour, -time.Minute, true},
	} {
		c := readmodel.Certificate{NotBefore: now.Add(tt.left - tt.life), NotAfter: now.Add(tt.left)}
		if c.EndsSoon(now) != tt.want {
			t.Errorf("life %s, left %s: want %v", tt.life, tt.left, tt.want)
		}
	}
}
