package contract

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// model is what events amount to, said in the plainest way.
type model struct {
	places  map[provenance.Digest]state.Place
	tags    map[provenance.Tag]state.Tag
	parents map[provenance.Digest][]provenance.Digest
}

func (m model) apply(e provenance.Event) {
	p, held := m.places[e.Digest]
	switch e.Action {
	case provenance.Push:
		if !held {
			p = state.Place{MediaType: e.MediaType, Size: e.Size, Children: e.Children, Actor: e.Actor, MSP: "VendorMSP", At: e.OccurredAt}
			for _, c := range e.Children {
				if !slices.Contains(m.parents[c], e.Digest) {
					m.parents[c] = append(m.parents[c], e.Digest)
				}
			}
		}
		p.Deleted = false
		if e.Tag != "" && !slices.Contains(p.Tags, e.Tag) {
			p.Tags = append(slices.Clone(p.Tags), e.Tag)
		}
		m.places[e.Digest] = p
		if e.Tag != "" {
			m.point(e, e.Digest)
		}
	case provenance.Delete:
		if held {
			p.Deleted = true
			m.places[e.Digest] = p
		}
	case provenance.TagDelete:
		if m.tags[e.Tag].Moves > 0 {
			m.point(e, provenance.Digest{})
		}
	}
}

func (m model) point(e provenance.Event, d provenance.Digest) {
	if t := m.tags[e.Tag]; t.Digest != d || t.Moves == 0 {
		m.tags[e.Tag] = state.Tag{Digest: d, Previous: t.Digest, Moves: t.Moves + 1, At: e.OccurredAt}
	}
}

// Wherever the records of pushes stand, in leaves or under keys of their own,
// they say what the events amount to.
func TestRecordsOfPushes(t *testing.T) {
	const names = 400
	l, r := network(t), rand.New(rand.NewPCG(1, 2026))
	m := model{map[provenance.Digest]state.Place{}, map[provenance.Tag]state.Tag{}, map[provenance.Digest][]provenance.Digest{}}
	for seq := range 80 {
		var events []provenance.Event
		size := 1 + r.IntN([]int{2, 60}[r.IntN(2)])
		if seq%20 == 0 { // an import
			size = 120
		}
		for range size {
			e := push(fmt.Sprint("v", r.IntN(names)), fmt.Sprint("image ", r.IntN(names)))
			e.ID = provenance.NewEventID("test", fmt.Sprint(seq, len(events)))
			e.OccurredAt = l.now
			switch r.IntN(12) {
			case 0:
				e.Tag = ""
			case 1:
				e.Action, e.MediaType, e.Size, e.Tag = provenance.Delete, "", 0, ""
			case 2:
				e.Action, e.MediaType, e.Size, e.Digest = provenance.TagDelete, "", 0, provenance.Digest{}
			case 3:
				e.Children = []provenance.Digest{provenance.SHA256Of(fmt.Appendf(nil, "image %d", r.IntN(names)))}
				e.Digest = provenance.SHA256Of(fmt.Appendf(nil, "index %d", r.IntN(names)))
			}
			m.apply(e)
			events = append(events, e)
		}
		if _, _, err := l.segment("gateway@VendorMSP", host, seq, events...); err != nil {
			t.Fatal(err)
		}
	}
	for d, want := range m.places {
		var got state.Place
		if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "image:Get", host, repo, d.String())), &got); err != nil {
			t.Fatal(err)
		}
		want.Tags = want.Tags[max(0, len(want.Tags)-state.MaxPlaceTags):]
		var named []string
		for _, tag := range want.Tags {
			if m.tags[tag].Digest == d {
				named = append(named, string(tag))
			}
		}
		slices.Sort(named)
		facts, _, err := state.LoadFacts(state.NewDirectory(reader{l}), state.Subject{Stage: "staging", Host: host, Repository: repo, Digest: d}, nil)
		if err != nil || !slices.Equal(facts.Tags, named) {
			t.Errorf("tags that name %s: %q, %v, want %q", d.Short(), facts.Tags, err, named)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(provenance.Digest{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("place of %s (-want +got):\n%s", d.Short(), diff)
		}
	}
	for tag, want := range m.tags {
		var got state.Tag
		if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "tag:Get", host, repo, string(tag))), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(provenance.Digest{})); diff != "" {
			t.Errorf("tag %s (-want +got):\n%s", tag, diff)
		}
	}
	d := state.NewDirectory(reader{l})
	for child, want := range m.parents {
		var got state.Parents
		if _, err := state.Read(d, state.ParentsKey(child, host, repo), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Indexes, cmpopts.EquateComparable(provenance.Digest{})); diff != "" {
			t.Errorf("parents of %s (-want +got):\n%s", child.Short(), diff)
		}
	}
	own, leaves := 0, 0
	for k := range l.state {
		switch kind, _, _ := state.SplitKey(k); kind {
		case state.TypePlace, state.TypeTag, state.TypeParents:
			own++
		case state.TypeLeaf:
			leaves++
		}
	}
	t.Logf("%d places, %d tags, %d parents: %d leaves, %d keys of their own", len(m.places), len(m.tags), len(m.parents), leaves, own)
	if own == 0 || leaves == 0 {
		t.Error("want both leaves and keys of their own, or this shows little")
	}
	l.refused(provenance.NotFound, "auditor@AuditMSP", "image:Get", host, repo, provenance.SHA256Of(nil).String())
	l.refused(provenance.NotFound, "auditor@AuditMSP", "tag:Get", host, repo, "never")
	l.refused(provenance.NotFound, "auditor@AuditMSP", "tag:Get", host, "team/other", "v1")
}

// A ledger that an older contract wrote has places that no directory finds.
func TestSegmentOfAnOlderLayout(t *testing.T) {
	l := network(t)
	r := read[state.Registry](l, state.RegistryKey(host))
	r.Layout = 0
	b, err := state.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	l.state[state.RegistryKey(host)] = b
	for _, kind := range []string{"distribution", "zot"} { // adding it again does not change what was recorded
		l.do("admin@VendorMSP", "registry:Add", host, kind)
		if _, _, err := l.segment("gateway@VendorMSP", host, 1, push("1.0", "v1")); provenance.CodeOf(err) != provenance.Conflict {
			t.Errorf("after registry:Add %s: %v, want a conflict", kind, err)
		}
	}
}

// Every push changes buckets of its repository: an act that read one would lose
// to every push in its block, and who pushes without a pause would stop releases.
func TestActsReadNoBuckets(t *testing.T) {
	l := network(t)
	many := []provenance.Event{push("", "many")}
	for i := range 40 {
		many = append(many, push(fmt.Sprint("m", i), fmt.Sprint("other ", i)))
	}
	many[1].Digest, many[1].ID = many[0].Digest, provenance.NewEventID("test", "tagged") // it has a tag
	for seq, events := range [][]provenance.Event{{push("1.0", "alone")}, many} {
		if _, _, err := l.segment("gateway@VendorMSP", host, seq, events...); err != nil {
			t.Fatal(err)
		}
	}
	reads := func(act string) (buckets int) {
		for _, k := range l.asked {
			if kind, _, _ := state.SplitKey(k); kind == state.TypeBucket {
				buckets++
			}
		}
		l.asked = nil
		t.Logf("%s: %d buckets", act, buckets)
		return buckets
	}
	l.asked = nil
	for _, content := range []string{"alone", "many"} {
		l.do("publisher@VendorMSP", about("promotion:Request", content, "staging")...)
		// The first act about an image that came with many others has to look it up.
		if n := reads("request of " + content); (n > 0) != (content == "many") {
			t.Errorf("promotion:Request of %s read %d buckets", content, n)
		}
		l.approve("release-manager@AuditMSP", content, "staging")
		l.do("gateway@AuditMSP", "record:Witness", host, repo, provenance.SHA256Of([]byte(content)).String())
		if v := l.ask(content, "staging"); v.Verdict != policy.Allowed {
			t.Errorf("%s: %+v", content, v)
		}
		if n := reads("later acts about " + content); n > 0 {
			t.Errorf("later acts about %s read %d buckets", content, n)
		}
	}
}
