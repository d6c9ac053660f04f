package index

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

func TestPullList(t *testing.T) { onDatabases(t, testPullList) }

func testPullList(t *testing.T, create creator) {
	c := newChain(t)
	c.block()
	pull := func(content string, r provenance.Repository, minute int) provenance.Event {
		e := event(provenance.Pull, "", content, minute)
		e.Repository, e.Address, e.UserAgent = r, "10.2.3.4", "containerd/2"
		return e
	}
	c.block(c.tx(0, "gateway@VendorMSP", c.segment(event(provenance.Push, "1.0", "v1", 0), pull("v1", repo, 1), pull("v2", repo, 2), pull("v1", "other", 3), pull("v1", repo, 4))...))
	c.block(
		c.tx(0, "gateway@VendorMSP", c.segment(pull("v2", repo, 5))...),
		c.tx(3, "gateway@VendorMSP", c.segment(pull("v1", repo, 2), pull("v1", repo, 6))...),
	)
	x := create(t)
	if err := x.ApplyBatch(t.Context(), c.blocks); err != nil {
		t.Fatal(err)
	}
	// all reads every page and returns the minutes in order.
	all := func(f readmodel.PullFilter, p readmodel.Page) (minutes []int) {
		t.Helper()
		for pages := 0; ; pages++ {
			var got []readmodel.Pull
			err := x.View(t.Context(), func(s *Snapshot) (err error) {
				got, p.Token, err = s.PullList(f, p)
				return err
			})
			if err != nil || pages > 9 || p.Size > 0 && len(got) > p.Size {
				t.Fatalf("page %d of %+v: %d pulls, %v", pages, f, len(got), err)
			}
			for _, pull := range got {
				minutes = append(minutes, pull.OccurredAt.Minute())
			}
			if p.Token == "" {
				return minutes
			}
		}
	}
	v1 := digest("v1")
	for name, tt := range map[string]struct {
		filter readmodel.PullFilter
		want   []int
	}{
		"everywhere":         {readmodel.PullFilter{Digest: v1}, []int{6, 2, 4, 3, 1}},
		"of a repository":    {readmodel.PullFilter{Digest: v1, Host: host, Repository: repo}, []int{6, 2, 4, 1}},
		"of another":         {readmodel.PullFilter{Digest: v1, Host: host, Repository: "other"}, []int{3}},
		"since":              {readmodel.PullFilter{Digest: v1, Since: at(4)}, []int{6, 4}},
		"since, a while ago": {readmodel.PullFilter{Digest: v1, Host: host, Repository: repo, Since: at(5)}, []int{6}},
		"of nothing":         {readmodel.PullFilter{Digest: digest("v9")}, nil},
	} {
		for _, size := range []int{0, 1, 2, 3} {
			if diff := cmp.Diff(tt.want, all(tt.filter, readmodel.Page{Size: size})); diff != "" {
				t.Errorf("%s, pages of %d (-want +got):\n%s", name, size, diff)
			}
		}
	}
	err := x.View(t.Context(), func(s *Snapshot) error {
		got, token, err := s.PullList(readmodel.PullFilter{Digest: v1}, readmodel.Page{Size: 1})
		if err != nil {
			return err
		}
		want := []readmodel.Pull{{Block: 2, Tx: 3, Seq: 1, TxID: "tx-2-3", Time: at(2), By: policy.Person{MSP: "VendorMSP", Name: "gateway"}, Host: host, Repository: repo,
			Digest: v1, Source: "test", Actor: "ci", Address: "10.2.3.4", UserAgent: "containerd/2", OccurredAt: at(6), ID: got[0].ID, Lane: got[0].Lane, Number: got[0].Number}}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b provenance.Digest) bool { return a == b })); diff != "" {
			t.Errorf("a pull (-want +got):\n%s", diff)
		}
		// The last day moves on between two pages; another image does not.
		if _, _, err := s.PullList(readmodel.PullFilter{Digest: v1, Since: at(1).Add(time.Second)}, readmodel.Page{Size: 1, Token: token}); err != nil {
			t.Errorf("the next page, a moment later: %v", err)
		}
		if _, _, err := s.PullList(readmodel.PullFilter{Digest: digest("v2")}, readmodel.Page{Size: 1, Token: token}); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("a token of another image: %v", err)
		}
		if _, _, err := s.PullList(readmodel.PullFilter{}, readmodel.Page{}); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("pulls of nothing: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A hidden client is found by the segment's name and its place among the hidden.
func TestPullListOfHidden(t *testing.T) { onDatabases(t, testPullListOfHidden) }

func testPullListOfHidden(t *testing.T, create creator) {
	c := newChain(t)
	c.block()
	var events []provenance.Event
	for i := range 5 {
		e := event(provenance.Pull, "", "v1", i)
		if i%2 == 1 {
			e.Blind = provenance.Unblinded()
		}
		events = append(events, e)
	}
	public, _ := provenance.Blinded(events, provenance.Salt{1})
	write := c.segment(public...)
	c.block(c.tx(0, "gateway@VendorMSP", write...))
	x := create(t)
	if err := x.ApplyBatch(t.Context(), c.blocks); err != nil {
		t.Fatal(err)
	}
	err := x.View(t.Context(), func(s *Snapshot) error {
		got, _, err := s.PullList(readmodel.PullFilter{Digest: digest("v1")}, readmodel.Page{})
		if err != nil || len(got) != 5 {
			t.Fatalf("%d pulls, %v", len(got), err)
		}
		for _, p := range got {
			want := public[p.Seq]
			if p.ID != want.ID || p.Blind != want.Blind || p.Actor != want.Actor || !p.Blind.IsZero() && p.Nth != p.Seq/2 || state.JournalKey(time.Time{}, p.Host, "VendorMSP", p.Lane, p.Number) != write[0].Key {
				t.Errorf("%+v", p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPullSegments(t *testing.T) { onDatabases(t, testPullSegments) }

func testPullSegments(t *testing.T, create creator) {
	c := newChain(t)
	c.block()
	hidden := event(provenance.Pull, "", "v1", 1)
	hidden.Blind = provenance.Unblinded()
	public, _ := provenance.Blinded([]provenance.Event{event(provenance.Pull, "", "v1", 0), hidden}, provenance.Salt{1})
	var keys []string
	segment := func(events ...provenance.Event) []block.Write {
		writes := c.segment(events...)
		keys = append(keys, writes[0].Key)
		return writes
	}
	c.block(
		c.tx(0, "gateway@VendorMSP", segment(public...)...),
		c.tx(2, "gateway@VendorMSP", c.segment(event(provenance.Push, "1.0", "v1", 2))...),
		c.tx(3, "gateway@AuditMSP", segment(event(provenance.Pull, "", "v2", 3))...),
	)
	c.block(c.tx(1, "gateway@VendorMSP", segment(public[0])...))
	x := create(t)
	if err := x.ApplyBatch(t.Context(), c.blocks); err != nil {
		t.Fatal(err)
	}
	err := x.View(t.Context(), func(s *Snapshot) error {
		var got []PullSegment
		for after := (Position{}); ; after = got[len(got)-1].At {
			page, err := s.PullSegments(host, after, at(3), 2)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
		}
		want := []PullSegment{
			{At: Position{Block: 1}, Time: at(1), By: policy.Person{MSP: "VendorMSP", Name: "gateway"}, Hides: true},
			{At: Position{Block: 1, Tx: 3}, Time: at(1), By: policy.Person{MSP: "AuditMSP", Name: "gateway"}},
			{At: Position{Block: 2, Tx: 1}, Time: at(2), By: policy.Person{MSP: "VendorMSP", Name: "gateway"}},
		}
		for i := range min(len(got), len(keys)) {
			if state.JournalKey(time.Time{}, host, "VendorMSP", got[i].Lane, got[i].Number) != keys[i] {
				t.Errorf("segment %d is %s/%d", i, got[i].Lane, got[i].Number)
			}
			got[i].Lane, got[i].Number = "", 0
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		for older, n := range map[time.Time]int{at(1): 0, at(2): 2} {
			got, err := s.PullSegments(host, Position{}, older, 9)
			if err != nil || len(got) != n {
				t.Errorf("before %s: %d segments, %v, want %d", older, len(got), err, n)
			}
		}
		others, err := s.PullSegments("elsewhere.example", Position{}, at(3), 9)
		if len(others) > 0 {
			t.Errorf("of another registry: %+v", others)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
