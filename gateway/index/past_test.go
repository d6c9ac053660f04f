package index

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// known is everything that can be asked as of a height.
func known(t testing.TB, s *Snapshot, times ...time.Time) (out []string) {
	t.Helper()
	note := func(what string, got any, err error) {
		if err != nil && provenance.CodeOf(err) == provenance.Internal {
			t.Errorf("%s: %v", what, err)
		}
		out = append(out, fmt.Sprintf("%s: %+v, %v", what, got, err))
	}
	for _, objectType := range []string{
		state.TypeHold, state.TypeApproval, state.TypeEvidence, state.TypeEvSet, state.TypeWaivers, state.TypeLabels, state.TypeProposal, state.TypeReleased,
		state.TypeRelease, state.TypeCarrier, state.TypeTaken, state.TypeRegistry, state.TypeGap, state.TypeClock, "other", "other\xff\xfe", "othera\x00b",
	} {
		for _, limit := range []int{2, 100} {
			entries, err := s.Scan(limit, objectType)
			note("scan "+objectType, entries, err)
		}
	}
	for i := range 9 {
		d := digest(fmt.Sprint("v", i))
		if i > 6 {
			d, _ = provenance.ParseDigest(fmt.Sprintf("sha512:%0128x", i-7))
		}
		places, err := s.Scan(9, state.TypePlace, state.PlacePrefix(d)...)
		note("places", places, err)
		list, next, err := s.Promotions(readmodel.PromotionFilter{Digest: d}, readmodel.Page{Size: 100, NewestFirst: true})
		note("promotions", asJSON(list), err)
		note("next", next, nil)
		for _, r := range repositories() {
			tags, err := s.Tags(d, host, r)
			note("tags", tags, err)
			records, _, err := s.History(readmodel.HistoryFilter{Digest: d, Host: host, Repository: r}, readmodel.Page{Size: 100})
			note("history", records, err)
			for _, at := range times {
				verdict, err := state.Ask(s, state.Subject{Stage: "production", Host: host, Repository: r, Digest: d}, at)
				note("verdict", asJSON(verdict), err)
			}
		}
	}
	for _, r := range repositories() {
		for _, tag := range []provenance.Tag{"1.0", "a", "B", "latest"} {
			var now state.Tag
			_, err := state.Read(s, state.TagKey(host, r, tag), &now)
			note("tag", now.Digest, err)
		}
	}
	return out
}

// The law: an answer as of a height is what the index answered when it had that height.
func TestAsOfIsWhatWasAnsweredThen(t *testing.T) { onDatabases(t, testAsOf) }

func testAsOf(t *testing.T, create creator) {
	asked := 0
	for seed := range uint64(1) {
		c := randomChain(t, seed, 80)
		x := create(t)
		then := map[uint64][]string{}
		for i, b := range c.blocks {
			if err := x.Apply(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if i > 1 && i%8 == 0 {
				view(t, x, func(s *Snapshot) { then[s.Height] = known(t, s, at(59)) })
			}
		}
		for height, want := range then {
			err := x.ViewAt(t.Context(), readmodel.When{Height: height}, at(59), func(_ readmodel.AsOf, s *Snapshot) error {
				got := known(t, s, at(59))
				asked += len(got)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("seed %d as of %d (-then +now):\n%.4000s", seed, height, diff)
				}
				return nil
			})
			if err != nil || t.Failed() {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d answers", asked)
}

// What names an image as its subject does so once its bytes were seen, and not before.
func TestReferrersAsOf(t *testing.T) { onDatabases(t, testReferrersAsOf) }

func testReferrersAsOf(t *testing.T, create creator) {
	c := newChain(t)
	c.block()
	place := func(proven bool) block.Write {
		p := &state.Place{MSP: "VendorMSP", Proven: proven}
		if proven {
			p.Subject = digest("base")
		}
		return c.put(state.PlaceKey(digest("signature"), host, repo), p)
	}
	c.block(c.tx(0, "gateway@VendorMSP", place(false)))
	c.block(c.tx(0, "gateway@VendorMSP", place(true)))
	x := applied(t, create, c)
	for height, want := range map[uint64]int{1: 0, 2: 0, 3: 1} {
		err := x.ViewAt(t.Context(), readmodel.When{Height: height}, at(59), func(_ readmodel.AsOf, s *Snapshot) error {
			got, err := s.Referrers(digest("base"), host, repo, 9)
			if len(got) != want {
				t.Errorf("as of %d: %v, want %d", height, got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// A key that was written a thousand times is as it was at each height, removed and written anew.
func TestAsOfOfAKeyThatChangesOften(t *testing.T) { onDatabases(t, testOften) }

func testOften(t *testing.T, create creator) {
	c := newChain(t)
	x := create(t)
	key := state.Key("other", "often")
	want := map[uint64]string{0: "", 1: ""}
	apply := func(from int) {
		for _, b := range c.blocks[from:] {
			if err := x.Apply(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.block()
	for i := range 700 {
		value := fmt.Sprint("value ", i/2) // every second write changes nothing
		w := block.Write{Key: key, Value: []byte(value)}
		if i%50 == 7 || i%50 == 8 {
			w, value = block.Write{Key: key, Delete: true}, ""
		}
		c.block(c.tx(0, "a@VendorMSP", w))
		want[uint64(len(c.blocks))] = value
	}
	apply(0)
	for height, value := range want {
		if height == 0 {
			continue
		}
		err := x.ViewAt(t.Context(), readmodel.When{Height: height}, at(59), func(_ readmodel.AsOf, s *Snapshot) error {
			got, err := s.Get(key)
			if string(got[0]) != value || (got[0] == nil) != (value == "") {
				t.Errorf("as of %d: %q, want %q", height, got[0], value)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	view(t, x, func(s *Snapshot) {
		reads := 0
		all, err := s.stored([]string{key})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.walk(all[0], func(v stored) (bool, error) { reads++; return v.before(5), nil }); err != nil || reads > 60 {
			t.Errorf("%d steps to the first of 350 versions: %v", reads, err)
		}
	})
}

// The height that goes with a time is that of the ledger's clock, within its minute that
// of the first transaction that is dated later.
func TestHeightOfATime(t *testing.T) { onDatabases(t, testHeightOf) }

func testHeightOf(t *testing.T, create creator) {
	c := newChain(t)
	start := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	do := func(after time.Duration, writes ...block.Write) {
		tx := c.tx(0, "a@VendorMSP", writes...)
		tx.At = start.Add(after)
		c.block(tx)
	}
	hold := func(n int) block.Write {
		return c.put(state.HoldKey(digest(fmt.Sprint(n)), "VendorMSP"), state.Hold{Digest: digest(fmt.Sprint(n)), MSP: "VendorMSP", Reason: "x"})
	}
	tick := func(after time.Duration) {
		do(after, c.put(state.ClockKey(), state.Clock{At: start.Add(after).Truncate(time.Minute), Seq: uint64(after / time.Minute)}))
	}
	c.block()                 // 0
	do(-time.Minute, hold(1)) // 1
	tick(0)                   // 2
	do(20*time.Second, hold(2))
	do(40*time.Second, hold(3)) // 4
	tick(65 * time.Second)      // 5: 10:01
	do(70*time.Second, hold(4)) // 6
	x := applied(t, create, c)
	for _, tc := range []struct {
		after  time.Duration
		height uint64
		whole  bool
	}{
		{-time.Hour, 1, true}, {-30 * time.Second, 2, true}, {0, 3, true}, {19 * time.Second, 3, true}, {20 * time.Second, 4, true}, {30 * time.Second, 4, true}, {59 * time.Second, 5, true},
		{60 * time.Second, 6, true}, {69 * time.Second, 6, true}, {75 * time.Second, 7, false}, {time.Hour, 7, false},
	} {
		err := x.ViewAt(t.Context(), readmodel.When{Time: start.Add(tc.after)}, start.Add(2*time.Hour), func(at readmodel.AsOf, s *Snapshot) error {
			if at.Height != tc.height || s.Height != tc.height || at.Whole != tc.whole || !at.Judged.Equal(start.Add(tc.after)) {
				t.Errorf("%s: %+v, want height %d, whole %v", tc.after, at, tc.height, tc.whole)
			}
			return nil
		})
		if err != nil {
			t.Error(tc.after, err)
		}
	}
	for height, want := range map[uint64]time.Time{2: start.Add(-time.Minute), 3: start, 5: start, 6: start.Add(time.Minute), 7: start.Add(time.Minute)} {
		err := x.ViewAt(t.Context(), readmodel.When{Height: height}, start, func(at readmodel.AsOf, _ *Snapshot) error {
			if !at.Judged.Equal(want) {
				t.Errorf("time of height %d is %s, want %s", height, at.Judged, want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	none := func(readmodel.AsOf, *Snapshot) error { t.Error("answered"); return nil }
	for code, when := range map[provenance.Code]readmodel.When{
		provenance.Unavailable: {Height: 8}, provenance.Invalid: {Time: start.Add(3 * time.Hour)},
	} {
		if err := x.ViewAt(t.Context(), when, start.Add(2*time.Hour), none); provenance.CodeOf(err) != code {
			t.Errorf("%+v: %v, want %s", when, err, code)
		}
	}
}
