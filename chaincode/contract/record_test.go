package contract

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/waybill-dev/waybill/chaincode/manifest"
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

// apply says what an event comes to; shown: its manifest came along.
func (m model) apply(t *testing.T, e provenance.Event, shown bool) {
	p, held := m.places[e.Digest]
	switch e.Action {
	case provenance.Push:
		if !held {
			p = state.Place{Actor: e.Actor, MSP: "VendorMSP", At: e.OccurredAt}
		}
		if shown && !p.Proven {
			facts, err := manifest.Read(bodies.of[e.Digest], "", e.Digest)
			if err != nil {
				t.Fatal(err)
			}
			p.Prove(facts)
			for _, c := range p.Children {
				list := m.parents[c]
				if !slices.Contains(list, e.Digest) {
					list = append(list, e.Digest)
				}
				m.parents[c] = list[max(0, len(list)-state.MaxParents):]
			}
		}
		p.Deleted = false
		if e.Tag != "" && !slices.Contains(p.Tags, e.Tag) {
			if len(p.Tags) < state.MaxPlaceTags {
				p.Tags = append(slices.Clone(p.Tags), e.Tag)
			} else {
				p.TagsCut = true
			}
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

// Wherever the records of pushes stand, in pages or under keys of their own,
// they say what the events amount to.
func TestRecordsOfPushes(t *testing.T) {
	const names = 400
	l, r := network(t), rand.New(rand.NewPCG(1, 2026))
	m := model{map[provenance.Digest]state.Place{}, map[provenance.Tag]state.Tag{}, map[provenance.Digest][]provenance.Digest{}}
	for seq := range 120 {
		var events, shown []provenance.Event
		size := 1 + r.IntN([]int{2, 60}[r.IntN(2)])
		if seq%20 == 0 { // an import
			size = 120
		}
		for range size {
			tag := fmt.Sprint("v", r.IntN(names))
			if r.IntN(8) == 0 {
				tag = fmt.Sprint("many", r.IntN(2*state.MaxPlaceTags))
			}
			e := push(tag, fmt.Sprint("image ", r.IntN(names)))
			if strings.HasPrefix(tag, "many") {
				e = push(tag, "image 0")
			}
			switch r.IntN(12) {
			case 0:
				e.Tag = ""
			case 1:
				e.Action, e.MediaType, e.Size, e.Tag = provenance.Delete, "", 0, ""
			case 2:
				e.Action, e.MediaType, e.Size, e.Digest = provenance.TagDelete, "", 0, provenance.Digest{}
			case 3:
				e = index(fmt.Sprintf("index %d", r.IntN(names)), digestOf(fmt.Sprint("image ", r.IntN(names/8))))
			case 4:
				e = artifact(fmt.Sprint("artifact ", r.IntN(names)), digestOf(fmt.Sprint("image ", r.IntN(names))))
			}
			// What an event says of the manifest decides nothing.
			e.Children = append(slices.Clone(e.Children), digestOf(fmt.Sprint("image ", r.IntN(names))))
			e.Subject, e.Config, e.ArtifactType = digestOf("a lie"), digestOf("a lie"), "application/a-lie"
			e.ID = provenance.NewEventID("test", fmt.Sprint(seq, len(events)))
			e.OccurredAt = l.now
			events = append(events, e)
			if r.IntN(4) > 0 {
				shown = append(shown, e)
			}
		}
		for _, e := range events {
			m.apply(t, e, slices.ContainsFunc(shown, func(s provenance.Event) bool { return s.Action == provenance.Push && s.Digest == e.Digest }))
		}
		if _, _, err := l.segmentWith("gateway@VendorMSP", host, seq, manifestsOf(shown), events...); err != nil {
			t.Fatal(err)
		}
	}
	proven, cut := 0, 0
	for d, want := range m.places {
		var got state.Place
		if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "image:Get", host, repo, d.String())), &got); err != nil {
			t.Fatal(err)
		}
		var named []string
		for _, tag := range want.Tags {
			if m.tags[tag].Digest == d {
				named = append(named, string(tag))
			}
		}
		slices.Sort(named)
		j, err := state.JudgeBy(state.NewDirectory(reader{l}), state.Subject{Stage: "staging", Host: host, Repository: repo, Digest: d}, nil, 0, l.now)
		if err != nil || !slices.Equal(j.Facts.Tags, named) || j.Facts.TagsCut != want.TagsCut || j.Facts.Proven != want.Proven {
			t.Errorf("tags that name %s: %q, %v, want %q; %v", d.Short(), j.Facts.Tags, err, named, j.Facts)
		}
		if want.Proven {
			proven++
		}
		if want.TagsCut {
			cut++
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
	own, pages := 0, 0
	for k := range l.state {
		switch kind, _, _ := state.SplitKey(k); kind {
		case state.TypePlace, state.TypeTag, state.TypeParents:
			own++
		case state.TypePage:
			pages++
		}
	}
	t.Logf("%d places, %d of them proven, %d tags, %d parents: %d pages, %d keys of their own", len(m.places), proven, len(m.tags), len(m.parents), pages, own)
	if proven == 0 || proven == len(m.places) || cut == 0 {
		t.Errorf("%d of %d places are proven and %d have more tags than are kept: this shows little", proven, len(m.places), cut)
	}
	if own == 0 || pages == 0 {
		t.Error("want both pages and keys of their own, or this shows little")
	}
	l.refused(provenance.NotFound, "auditor@AuditMSP", "image:Get", host, repo, provenance.SHA256Of(nil).String())
	l.refused(provenance.NotFound, "auditor@AuditMSP", "tag:Get", host, repo, "never")
	l.refused(provenance.NotFound, "auditor@AuditMSP", "tag:Get", host, "team/other", "v1")
}

// A ledger that an older contract wrote has places that no directory finds.
func TestSegmentOfAnOlderLayout(t *testing.T) {
	l := network(t)
	r := read[state.Registry](l, state.RegistryKey(host))
	r.Claims[0].Layout = 0
	b, err := state.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	l.state[state.RegistryKey(host)] = b
	recorded := func(when string) {
		t.Helper()
		if _, _, err := l.segment("gateway@VendorMSP", host, 1, push("1.0", "v1")); provenance.CodeOf(err) != provenance.Conflict {
			t.Errorf("%s: %v, want a conflict", when, err)
		}
	}
	recorded("as it is")
	// Voting for it again does not change what was recorded.
	l.agree("registry", strings.Replace(registryBody(host, "", "VendorMSP"), "distribution", "zot", 1), orgs()[:3]...)
	recorded("of another kind")
}

// Every push changes its repository's directory: an act that read it would lose
// to every push in its block, and who pushes without a pause would stop releases.
func TestActsReadNoDirectory(t *testing.T) {
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
	reads := func(act string) (directory int) {
		for _, k := range l.asked {
			if kind, _, _ := state.SplitKey(k); kind == state.TypeDirectory || kind == state.TypeRun {
				directory++
			}
		}
		l.asked = nil
		t.Logf("%s: %d keys of the directory", act, directory)
		return directory
	}
	l.asked = nil
	for _, content := range []string{"alone", "many"} {
		l.do("publisher@VendorMSP", about("promotion:Request", content, "staging")...)
		// The first act about an image that came with many others has to look it up.
		if n := reads("request of " + content); (n > 0) != (content == "many") {
			t.Errorf("promotion:Request of %s read %d keys of the directory", content, n)
		}
		l.approve("release-manager@AuditMSP", content, "staging")
		l.do("gateway@AuditMSP", "record:Witness", host, repo, digestOf(content).String())
		if v := l.ask(content, "staging"); v.Verdict != policy.Allowed {
			t.Errorf("%s: %+v", content, v)
		}
		if n := reads("later acts about " + content); n > 0 {
			t.Errorf("later acts about %s read %d keys of the directory", content, n)
		}
	}
}
