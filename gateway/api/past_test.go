package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// TestAsOf asks about an image before and after it was quarantined, by both protocols.
func TestAsOf(t *testing.T) {
	g := start(t, nil)
	s := g.ledger()
	g.release(s)
	id := g.vendor.issue("auditor", soon())
	c, ctx := g.client(id), t.Context()
	image := "reg.example:5000/team/app@" + s.Digest.String()
	before := g.height
	g.block("scanner@AuditMSP", g.put(state.HoldKey(s.Digest, "AuditMSP"), state.Hold{Digest: s.Digest, MSP: "AuditMSP", Reason: "CVE-1", Act: state.Act{At: time.Unix(2100, 0)}}))
	now, err := c.GetVerdict(ctx, image, "production")
	if err != nil || now.GetVerdict() != "quarantined" || now.GetAsOf() != nil {
		t.Fatalf("%v, %v", now, err)
	}
	past := c.AsOf(number(before))
	was, err := past.GetVerdict(ctx, image, "production")
	if err != nil || was.GetVerdict() != "allowed" || was.GetHeight() != before || was.GetAsOf() == nil {
		t.Errorf("%v, %v", was, err)
	}
	if got, err := past.GetImage(ctx, image); err != nil || len(got.GetHolds()) != 0 || len(got.GetReleases()) != 1 || got.GetHeight() != before || got.GetPulls() != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := past.GetPolicy(ctx, "default", 0); err != nil || !got.GetPolicy().GetActive() {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := past.GetTag(ctx, host, repo, "1.0"); err != nil || got.GetDigest() != s.Digest.String() || got.GetMoves() != 0 {
		t.Errorf("%v, %v", got, err)
	}
	for _, ask := range []func() error{
		func() error { _, err := past.GetTree(ctx, image); return err },
		func() error { _, err := past.GetEvidence(ctx, image, ""); return err },
	} {
		if err := ask(); err != nil {
			t.Error(err)
		}
	}
	status, body := g.rest(id, "GET", query("/v1/verdict", "image", image, "stage", "production", "at", number(before)), "")
	if status != http.StatusOK || body["verdict"] != "allowed" || body["height"] != number(before) || body["asOf"] == nil {
		t.Errorf("%d %v", status, body)
	}
	for at, code := range map[string]provenance.Code{
		number(g.height + 5): provenance.Unavailable, "2999-01-01": provenance.Invalid, "yesterday": provenance.Invalid, "-1": provenance.Invalid, "0": provenance.Invalid,
	} {
		if _, err := c.AsOf(at).GetVerdict(ctx, image, "production"); provenance.CodeOf(err) != code {
			t.Errorf("as of %s: %v, want %s", at, err, code)
		}
	}
	// A stale gateway may say what was allowed where nothing can be added to it any more.
	g.fresh.Store(&readmodel.Freshness{Stale: true})
	if got, err := past.GetVerdict(ctx, image, "production"); err != nil || got.GetStale() {
		t.Errorf("stale: %v, %v", got, err)
	}
	if _, err := c.AsOf("2026-01-01T00:00:00Z").GetVerdict(ctx, image, "production"); err != nil {
		t.Errorf("stale, quarantined as of a time: %v", err)
	}
}

// TestSearch finds what was recorded, page by page, and refuses what it cannot look for.
func TestSearch(t *testing.T) {
	g := start(t, nil)
	s := g.ledger()
	g.release(s)
	g.block("scanner@AuditMSP", g.put(state.HoldKey(s.Digest, "AuditMSP"), state.Hold{Digest: s.Digest, MSP: "AuditMSP", Reason: "CVE-2031-7 in zlib"}))
	id := g.vendor.issue("auditor", soon())
	c, ctx := g.client(id), t.Context()
	kinds := func(in *waybillv1.SearchRequest) (all []string) {
		in = proto.CloneOf(in)
		for range 100 {
			res, err := c.Search(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range res.GetEntries() {
				all = append(all, e.GetKind())
			}
			if in.PageToken = res.GetNextPageToken(); in.PageToken == "" {
				return all
			}
		}
		t.Fatal("no end")
		return nil
	}
	everything := len(kinds(&waybillv1.SearchRequest{}))
	for _, tc := range []struct {
		in   *waybillv1.SearchRequest
		want string
	}{
		{&waybillv1.SearchRequest{Text: "cve-2031-7"}, "hold"},
		{&waybillv1.SearchRequest{Decision: "quarantined"}, "hold"},
		{&waybillv1.SearchRequest{Kind: "hold", Msp: "AuditMSP"}, "hold"},
		{&waybillv1.SearchRequest{Actor: "scanner@AuditMSP", Text: "zlib"}, "hold"},
		{&waybillv1.SearchRequest{Kind: "hold", Msp: "VendorMSP"}, ""},
		{&waybillv1.SearchRequest{Digest: s.Digest.String()[7:15], Kind: "release"}, "release"},
		{&waybillv1.SearchRequest{Digest: "ffffffff"}, ""},
		{&waybillv1.SearchRequest{Repository: "reg.example:5000/team/*", Decision: "released"}, "release"},
		{&waybillv1.SearchRequest{Repository: "reg.example:5000/other/**", Decision: "released"}, ""},
		{&waybillv1.SearchRequest{Repository: "reg.example:5000/team/app", Stage: "production", Kind: "release"}, "release"},
		{&waybillv1.SearchRequest{Decision: "released", Before: timestamppb.New(time.Unix(100, 0))}, ""},
		{&waybillv1.SearchRequest{Decision: "released", Since: timestamppb.New(time.Unix(100, 0))}, "release"},
	} {
		if got := strings.Join(kinds(tc.in), " "); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.in, got, tc.want)
		}
	}
	for size := int32(1); size < 4; size++ {
		for _, oldest := range []bool{false, true} {
			if n := len(kinds(&waybillv1.SearchRequest{PageSize: size, OldestFirst: oldest})); n != everything {
				t.Errorf("pages of %d: %d of %d", size, n, everything)
			}
		}
	}
	for _, in := range []*waybillv1.SearchRequest{
		{Digest: "abc"}, {Digest: "ABCDEF12"}, {Repository: "no-host"}, {Decision: "maybe"}, {Decision: "released", Kind: "push"}, {Text: strings.Repeat("x", 300)}, {PageSize: 501},
		{PageToken: "AAAA"}, {Tag: "/"},
	} {
		if _, err := c.Search(ctx, in); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%.60v: %v", in, err)
		}
	}
	found, err := c.FindImages(ctx, s.Digest.String()[7:13], "")
	if err != nil || len(found.GetImages()) != 1 || found.GetImages()[0] != "reg.example:5000/team/app@"+s.Digest.String() {
		t.Errorf("%v, %v", found, err)
	}
	if found, err := c.FindImages(ctx, s.Digest.String()[7:13], "reg.example:5000/team/other"); err != nil || len(found.GetImages()) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}

// TestEvents reads on from a token, waits for what comes, and lets only so many wait.
func TestEvents(t *testing.T) {
	g := start(t, nil)
	s := g.ledger()
	id := g.vendor.issue("auditor", soon())
	c, ctx := g.client(id), t.Context()
	hold := func(reason string) {
		g.block("scanner@AuditMSP", g.put(state.HoldKey(s.Digest, "AuditMSP"), state.Hold{Digest: s.Digest, MSP: "AuditMSP", Reason: reason}))
	}
	first, err := c.ListEvents(ctx, &waybillv1.ListEventsRequest{})
	if err != nil || len(first.GetEntries()) != 0 || first.GetNext() == "" {
		t.Fatalf("%v, %v", first, err)
	}
	time.AfterFunc(400*time.Millisecond, func() { hold("one") })
	next, err := c.ListEvents(ctx, &waybillv1.ListEventsRequest{After: first.GetNext(), WaitSeconds: 10})
	if err != nil || len(next.GetEntries()) != 1 || !strings.Contains(next.GetEntries()[0].GetDetail(), "one") {
		t.Fatalf("%v, %v", next, err)
	}
	if again, err := c.ListEvents(ctx, &waybillv1.ListEventsRequest{After: next.GetNext()}); err != nil || len(again.GetEntries()) != 0 {
		t.Errorf("%v, %v", again, err)
	}
	if last, err := c.ListEvents(ctx, &waybillv1.ListEventsRequest{Last: 1}); err != nil || len(last.GetEntries()) != 1 || last.GetNext() != next.GetNext() {
		t.Errorf("%v, %v", last, err)
	}
	for _, in := range []*waybillv1.ListEventsRequest{{After: "x"}, {WaitSeconds: 21}, {WaitSeconds: -1}, {Last: 501}, {PageSize: -1}} {
		if _, err := c.ListEvents(ctx, in); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%v: %v", in, err)
		}
	}
	lines := g.stream(id, "/v1/events/stream?after="+first.GetNext())
	read := func(want string) {
		t.Helper()
		for line := range lines {
			if strings.Contains(line, want) {
				return
			}
		}
		t.Fatalf("the stream ended before %q", want)
	}
	read("one")
	hold("two")
	read("two")
	// The others of one organisation are told to come later; another's may still wait.
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 20)
	for range 20 {
		go func() {
			_, err := c.ListEvents(waiting, &waybillv1.ListEventsRequest{WaitSeconds: 3})
			done <- err
		}()
	}
	refused := 0
	for range 20 {
		if provenance.CodeOf(<-done) == provenance.Unavailable {
			refused++
		}
	}
	if refused == 0 || refused == 20 {
		t.Errorf("%d of 20 were refused", refused)
	}
	if _, err := g.client(g.audit.issue("auditor", soon())).ListEvents(ctx, &waybillv1.ListEventsRequest{WaitSeconds: 1}); err != nil {
		t.Errorf("another organisation: %v", err)
	}
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// stream reads a stream of server-sent events by line.
func (g *gatewayUnderTest) stream(id identity, path string) <-chan string {
	g.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(g.vendor.cert)
	pair, err := tls.LoadX509KeyPair(id.cert, id.key)
	if err != nil {
		g.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}
	request, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, "https://"+g.address+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = response.Body.Close(); transport.CloseIdleConnections() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		g.t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return lines
}
