package cert

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"
)

func TestList(t *testing.T) {
	f := testFolder(t, 20*24*time.Hour)
	channel := pinned(t, f, nil)
	if _, err := f.Revoke(t.Context(), Revocation{Names: []string{"publisher"}}, Options{}); err != nil {
		t.Fatal(err)
	}
	entries, err := f.List(&channel, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Entry{}
	for _, e := range entries {
		got[e.Name] = e
	}
	if len(got) != len(entries) || len(entries) != 2+11+2+2 {
		t.Errorf("%d entries, %d names", len(entries), len(got))
	}
	for name, want := range map[string]Standing{
		"ca": Good, "tlsca": Good, "admin": Good, "publisher": IsRevoked, "VendorMSP root": Good, "VendorMSP consenter 1 enrolment": Good,
	} {
		if got[name].Standing != want {
			t.Errorf("%s: %+v, want %s", name, got[name], want)
		}
	}
	if d := got["peer-tls"].Days; d != 19 {
		t.Errorf("%d days left", d)
	}
	entries, err = f.List(nil, time.Now().Add(15*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name == "peer-tls" && e.Standing != EndsSoon {
			t.Errorf("five of twenty days left: %+v", e)
		}
	}
	entries, err = f.List(nil, time.Now().Add(30*24*time.Hour))
	if err != nil || !slices.ContainsFunc(entries, func(e Entry) bool { return e.Name == "peer-tls" && e.Standing == Ended && e.Seconds < 0 }) {
		t.Errorf("after its end: %v, %v", entries, err)
	}
}

func TestWarningBegins(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		life, left time.Duration
		want       Standing
	}{
		{2 * 365 * 24 * time.Hour, 31 * 24 * time.Hour, Good},
		{2 * 365 * 24 * time.Hour, 30 * 24 * time.Hour, EndsSoon},
		{10 * time.Minute, 4 * time.Minute, Good},
		{10 * time.Minute, 3 * time.Minute, EndsSoon},
		{10 * time.Minute, 0, Ended},
	} {
		c := &x509.Certificate{NotBefore: now.Add(tt.left - tt.life), NotAfter: now.Add(tt.left), SerialNumber: bigOne()}
		if e := entry(c, now, nil); e.Standing != tt.want {
			t.Errorf("life %s, left %s: %s, want %s", tt.life, tt.left, e.Standing, tt.want)
		}
	}
}
