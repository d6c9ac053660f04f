package cert

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

// states of what a renewal did, by pair.
func states(done []Outcome) map[string]State {
	out := map[string]State{}
	for _, d := range done {
		out[d.Name] = d.State
	}
	return out
}

// TestRenewAllGoesOn: interrupted, and run again, a renewal of everything does the rest, and restarts each node once.
func TestRenewAllGoesOn(t *testing.T) {
	f := testFolder(t, time.Hour)
	nodes := &restarts{t: t, f: f, fail: Peer}
	channel := pinned(t, f, nil)
	var voted Changed
	now := time.Now()
	o := Options{
		Nodes: nodes, Lifetime: 48 * time.Hour, Now: func() time.Time { return now },
		Channel: func(context.Context) (Channel, error) { return channel, nil },
		Vote:    func(c Changed) (string, error) { voted = c; return "vote", nil },
	}
	serial := func(name string) string {
		t.Helper()
		pairs, err := f.Select([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		c, err := readCert(pairs[0].Cert)
		if err != nil {
			t.Fatal(err)
		}
		return c.SerialNumber.String()
	}
	if _, err := f.Renew(t.Context(), nil, o); err == nil {
		t.Fatal("a peer that does not come back is no error")
	}
	admin, peer := serial("admin"), serial("peer-tls")

	nodes.fail, nodes.nodes = "", nil
	done, err := f.Renew(t.Context(), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{Peer, Orderer}; !slices.Equal(nodes.nodes, want) {
		t.Errorf("restarted %v, want %v: what has not read its certificates yet", nodes.nodes, want)
	}
	if got := states(done); got["admin"] != RenewedBefore || got["peer-tls"] != RenewedBefore || got["orderer-tls"] != Renewed || got[OrdererEnrolment] != WaitsForVote {
		t.Errorf("got %v", got)
	}
	if serial("admin") != admin || serial("peer-tls") != peer {
		t.Error("renewed twice")
	}

	// The vote is over: everything is what is left of everything.
	channel = pinned(t, f, voted.OrdererIdentity)
	nodes.nodes = nil
	if done, err = f.Renew(t.Context(), nil, o); err != nil {
		t.Fatal(err)
	}
	if got := states(done); got[OrdererEnrolment] != Renewed || got["orderer-tls"] != RenewedBefore || !slices.Equal(nodes.nodes, []string{Orderer}) {
		t.Errorf("got %v, restarted %v", got, nodes.nodes)
	}
	if _, err := os.Stat(f.roundPath()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the round is not over: %v", err)
	}
	// And then it is a new one.
	for _, again := range []func(){
		func() {},
		func() { o.Anew = true },
		func() { o.Anew, o.Lifetime = false, 50*time.Hour },
		func() { now = now.Add(roundHolds + time.Hour) },
	} {
		again()
		before := serial("admin")
		if _, err := f.Renew(t.Context(), nil, o); err != nil {
			t.Fatal(err)
		}
		if serial("admin") == before {
			t.Error("not renewed again")
		}
	}
}

// TestCrashBeforeARestart: the orderer's enrolment is switched to and the program ends. The next run restarts the orderer with
// it, and prepares no other: that would want another vote, while the orderer is nobody to the channel.
func TestCrashBeforeARestart(t *testing.T) {
	f := testFolder(t, time.Hour)
	nodes := &restarts{t: t, f: f, fail: Orderer}
	channel := pinned(t, f, nil)
	votes := 0
	o := Options{
		Nodes: nodes, Channel: func(context.Context) (Channel, error) { return channel, nil },
		Vote: func(c Changed) (string, error) {
			votes++
			channel = pinned(t, f, c.OrdererIdentity)
			return "vote", nil
		},
	}
	names := []string{OrdererEnrolment}
	if _, err := f.Renew(t.Context(), names, o); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Renew(t.Context(), names, o); err == nil {
		t.Fatal("an orderer that does not come back is no error")
	}
	nodes.fail = ""
	done, err := f.Renew(t.Context(), names, o)
	if err != nil || done[0].State != RenewedBefore || votes != 1 || !slices.Equal(nodes.nodes, []string{Orderer, Orderer}) {
		t.Errorf("got %+v, %v, %d votes, restarted %v", done, err, votes, nodes.nodes)
	}
	if done, err = f.Renew(t.Context(), names, o); err != nil || done[0].State != WaitsForVote {
		t.Errorf("asked once more: %+v, %v", done, err)
	}
}

// TestRoundsKnowTheirAuthority: a renewal that was interrupted before a roll-over does not count for what comes after it.
func TestRoundsKnowTheirAuthority(t *testing.T) {
	f := testFolder(t, time.Hour)
	channel := pinned(t, f, nil)
	var voted Changed
	o := Options{
		Nodes: &restarts{t: t, f: f}, Channel: func(context.Context) (Channel, error) { return channel, nil },
		Vote: func(c Changed) (string, error) { voted = c; return "vote", nil },
	}
	if _, err := f.Renew(t.Context(), nil, o); err != nil { // waits for its vote
		t.Fatal(err)
	}
	if _, err := f.RollOver(t.Context(), "VendorMSP", o); err != nil {
		t.Fatal(err)
	}
	channel.Members[0].Roots, channel.Members[0].TLSRoots = voted.Roots, voted.TLSRoots
	if p, err := f.RollOver(t.Context(), "VendorMSP", o); err != nil || p.Stage != Issuing {
		t.Fatalf("%+v, %v", p, err)
	}
	done, err := f.Renew(t.Context(), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	for name, state := range states(done) {
		if name != OrdererEnrolment && name != "orderer-admin" && state != Renewed {
			t.Errorf("%s: %s", name, state)
		}
	}
}
