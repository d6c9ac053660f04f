package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func hours(n int) time.Time { return time.Date(2026, 3, 2, n, 0, 0, 0, time.UTC) }

func advance(t *testing.T, r *TrustedRoot, at time.Time, anchors ...Anchor) {
	t.Helper()
	if err := r.Advance(RootVersion{Version: r.Version + 1, Hash: fmt.Sprint(r.Version), Act: Act{At: at}}, anchors); err != nil {
		t.Fatal(err)
	}
}

func anchor(id string, from, until time.Time) Anchor {
	return Anchor{ID: id, Kind: "ct-log", Name: "log " + id, Windows: []Window{{From: from, Until: until}}}
}

// TestReaches: a piece counts while each authority that vouched for it is trusted for
// the moment at which it did, and is withdrawn from the change on that ended it.
func TestReaches(t *testing.T) {
	var open time.Time
	piece := &Evidence{RootVersion: 1, Signer: policy.Signer{Key: "r"}, Act: Act{At: hours(6)}, Uses: []Use{{"a", hours(5)}, {"b", hours(4)}}}
	r := &TrustedRoot{Name: "r"}
	check := func(what string, since time.Time) {
		t.Helper()
		if got, why := r.Reaches(piece); !got.Equal(since) || (why == "") != since.IsZero() {
			t.Errorf("%s: withdrawn at %v (%s), want %v", what, got, why, since)
		}
	}
	advance(t, r, hours(1), anchor("b", hours(0), open), anchor("a", hours(0), hours(5)))
	check("as verified, at the very end of a window", open)
	advance(t, r, hours(7), anchor("a", hours(0), hours(9)), anchor("b", hours(0), open), anchor("c", hours(0), open))
	check("widened, beside another", open)
	advance(t, r, hours(8), anchor("a", hours(0), hours(9)), anchor("b", hours(0), hours(3)))
	check("b until three", hours(8))
	advance(t, r, hours(9), anchor("b", hours(0), hours(2)))
	check("b narrower still, and a gone: since the first of it", hours(8))
	advance(t, r, hours(10), anchor("a", hours(0), open), anchor("b", hours(0), open))
	check("both again", open)
	advance(t, r, hours(11), anchor("a", hours(5).Add(time.Second), open), anchor("b", hours(0), open))
	check("a from a second later", hours(11))
	for i := range 20 { // wiggled: never counts as withdrawn later than it was
		advance(t, r, hours(12+i), anchor("a", hours(6+i%2), open), anchor("b", hours(0), open))
	}
	if since, why := r.Reaches(piece); why == "" || since.After(hours(11)) {
		t.Errorf("wiggled: %v, %s", since, why)
	}
	if n := len(r.Anchors[0].Windows); n > maxWindows {
		t.Errorf("%d windows", n)
	}
	piece.Uses = append(piece.Uses, Use{"never seen", hours(5)})
	if since, why := r.Reaches(piece); why == "" || since.After(piece.At) {
		t.Errorf("by an authority it never had: %v, %s", since, why)
	}
	piece.Uses = nil
	check("nobody vouched", open)
	r.Withdrawn = &Withdrawal{Reason: "lost", CompromisedSince: hours(7), Act: Act{At: hours(20)}}
	check("withdrawn as compromised after it was recorded", open)
	r.Withdrawn.CompromisedSince = hours(6)
	check("and before", hours(20))
	r = nil
	check("no root", hours(6))
}

// TestWindowsForgetNoNarrowing: whatever is done to an authority, a word that is not
// trusted now was withdrawn no later than by the history in full, and one that is
// trusted now counts.
func TestWindowsForgetNoNarrowing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var a Anchor
		var all []Window
		for i := range 1 + rng.IntN(10) {
			w := Window{Since: hours(i), From: hours(rng.IntN(4)), Until: hours(4 + rng.IntN(4))}
			if rng.IntN(5) == 0 {
				w.Until = time.Time{}
			}
			if rng.IntN(6) == 0 {
				w = Window{Since: hours(i), Gone: true}
			}
			a.note(w)
			all = append([]Window{w}, all...)
		}
		full := Anchor{Windows: all}
		for h := range 9 {
			got, is := a.untrusted(hours(h))
			want, was := full.untrusted(hours(h))
			if is != was || is && got.After(want) {
				t.Fatalf("%d: %v %v, want %v %v\n%+v\n%+v", h, got, is, want, was, a.Windows, all)
			}
		}
	}
}

func TestAdvanceIsBounded(t *testing.T) {
	r := &TrustedRoot{Name: "r"}
	var all []Anchor
	for i := range MaxAnchors {
		all = append(all, anchor(fmt.Sprintf("%04d", i), hours(0), hours(9)))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	advance(t, r, hours(1), all...)
	if !slices.IsSortedFunc(r.Anchors, func(a, b Anchor) int { return strings.Compare(a.ID, b.ID) }) || len(r.Anchors) != MaxAnchors {
		t.Errorf("%d authorities", len(r.Anchors))
	}
	before := len(r.Anchors)
	if err := r.Advance(RootVersion{}, []Anchor{anchor("new", hours(0), hours(9))}); provenance.CodeOf(err) != provenance.Full || len(r.Anchors) != before || r.Version != 1 {
		t.Errorf("one more: %v, version %d", err, r.Version)
	}
	advance(t, r, hours(2), all[0])
	if !r.Trusts(all[0].ID) || r.Trusts(all[1].ID) {
		t.Error("what is trusted after narrowing is not what it says")
	}
}

// TestSinceByAuthorities: what was signed a year ago is a year old whenever it is handed in.
func TestSinceByAuthorities(t *testing.T) {
	e := Evidence{Act: Act{At: hours(9)}, Uses: []Use{{"a", hours(3)}, {"b", hours(2)}}, MadeAt: hours(8)}
	if !e.Since().Equal(hours(2)) {
		t.Errorf("since %v", e.Since())
	}
	e.Uses = []Use{{"a", hours(10)}} // an authority whose clock is ahead makes nothing younger
	if !e.Since().Equal(hours(8)) {
		t.Errorf("since %v", e.Since())
	}
	if e.Answered([]string{"VendorMSP"}) {
		t.Error("a key of no organisation is answered for")
	}
	if e.RootVersion = 1; !e.Answered(nil) {
		t.Error("nobody answers for a shared root")
	}
}
