package record_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
)

// tagStory plays what happens at a registry: each step changes it and returns what is
// notified. The next step comes when the queue is empty, without a restart in between.
func tagStory(t *testing.T, steps ...func(r *recordtest.Registry) []delivery.Delivery) (b *recordtest.Bench, recorded []string) {
	t.Helper()
	r := recordtest.NewRegistry()
	b = recordtest.New(t)
	b.Limits.Events = 100
	b.Reads(r)
	b.Run(t.Context(), func(s delivery.Stats) bool {
		if !recordtest.Empty(s) {
			return false
		}
		if len(steps) == 0 {
			return true
		}
		told := steps[0](r)
		steps = steps[1:]
		b.Accept(told...)
		return false
	})
	return b, lines(b)
}

// lines says each recorded event, in its order.
func lines(b *recordtest.Bench) (out []string) {
	b.Ledger.Mu.Lock()
	defer b.Ledger.Mu.Unlock()
	for _, events := range b.Ledger.Endorsed {
		for _, e := range events {
			out = append(out, fmt.Sprintf("%s %s %s", e.Action, e.Tag, e.Digest.Short()))
		}
	}
	return out
}

var stories int

// hints are n notifications of one upload, by tag only, tenths of a second apart.
func hints(n int, actor string, at time.Time) (out []delivery.Delivery) {
	for i := range n {
		stories++
		d := recordtest.Event("team/app", stories, provenance.Push)
		d.Event.Digest, d.Event.Actor, d.Event.OccurredAt = provenance.Digest{}, actor, at.Add(time.Duration(i)*137*time.Millisecond)
		out = append(out, d)
	}
	return out
}

func fact(action provenance.Action, tag provenance.Tag, digest provenance.Digest) delivery.Delivery {
	stories++
	d := recordtest.Event("team/app", stories, action)
	d.Event.Tag, d.Event.Digest = tag, digest
	return d
}

// Nexus sends 10 to 26 notifications of one upload, and none of them says which image it
// is. They are one push, in one batch or in many; an upload that moves the tag is
// another, and so is one after a deletion, however soon.
func TestOneUploadIsOnePush(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000).UTC()
	name := func(r *recordtest.Registry, image string) provenance.Digest {
		d := r.Put(image, 40)
		r.Mu.Lock()
		defer r.Mu.Unlock()
		r.Tags["v1"] = d
		return d
	}
	upload := func(image string, n int, actor string, after time.Duration) func(*recordtest.Registry) []delivery.Delivery {
		return func(r *recordtest.Registry) []delivery.Delivery {
			name(r, image)
			return hints(n, actor, at.Add(after))
		}
	}
	a, c := provenance.SHA256Of([]byte("a"+spaces(39))).Short(), provenance.SHA256Of([]byte("c"+spaces(39))).Short()
	push := func(d string) string { return "push v1 " + d }
	for _, test := range []struct {
		name  string
		steps []func(*recordtest.Registry) []delivery.Delivery
		want  []string
	}{
		{"one burst", steps(upload("a", 26, "ci", 0)), []string{push(a)}},
		{"drop by drop", steps(upload("a", 1, "ci", 0), upload("a", 1, "ci", time.Second), upload("a", 9, "ci", 2*time.Second)), []string{push(a)}},
		{"another image at once", steps(upload("a", 11, "ci", 0), upload("c", 11, "ci", 2*time.Second)), []string{push(a), push(c)}},
		{"forth and back at once", steps(upload("a", 5, "ci", 0), upload("c", 5, "ci", time.Second), upload("a", 5, "ci", 2*time.Second)), []string{push(a), push(c), push(a)}},
		{"somebody else's push", steps(upload("a", 5, "ci", 0), upload("a", 5, "alice", time.Second)), []string{push(a), push(a)}},
		{"much later", steps(upload("a", 5, "ci", 0), upload("a", 5, "ci", time.Hour)), []string{push(a), push(a)}},
		{"deleted in between", steps(upload("a", 5, "ci", 0), func(r *recordtest.Registry) []delivery.Delivery {
			r.Mu.Lock()
			defer r.Mu.Unlock()
			delete(r.Tags, "v1")
			return []delivery.Delivery{fact(provenance.TagDelete, "v1", provenance.Digest{})}
		}, upload("a", 5, "ci", time.Second)), []string{push(a), "tag-delete v1 " + provenance.Digest{}.Short(), push(a)}},
		{"the image deleted in between", steps(upload("a", 5, "ci", 0), func(r *recordtest.Registry) []delivery.Delivery {
			r.Mu.Lock()
			defer r.Mu.Unlock()
			d := r.Tags["v1"]
			delete(r.By, d)
			return []delivery.Delivery{fact(provenance.Delete, "", d)}
		}, upload("a", 5, "ci", time.Second)), []string{push(a), "delete  " + a, push(a)}},
		{"a push with its digest in between", steps(upload("a", 5, "ci", 0), func(r *recordtest.Registry) []delivery.Delivery {
			return []delivery.Delivery{fact(provenance.Push, "v1", name(r, "c"))}
		}, upload("a", 5, "ci", time.Second)), []string{push(a), push(c), push(a)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, got := tagStory(t, test.steps...)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
			if dead, err := b.Queue.Dead(t.Context(), 0, 10); err != nil || len(dead) != 0 {
				t.Errorf("%d dead letters, %v", len(dead), err)
			}
		})
	}
}

func steps(all ...func(*recordtest.Registry) []delivery.Delivery) []func(*recordtest.Registry) []delivery.Delivery {
	return all
}

func spaces(n int) string { return fmt.Sprintf("%*s", n, "") }

// What another replica recorded in the lane, this one does not know: it believes nothing
// that it remembers from before.
func TestAnotherRecordedInBetween(t *testing.T) {
	r := recordtest.NewRegistry()
	b := recordtest.New(t)
	b.Reads(r)
	r.Tags["v1"] = r.Put("a", 40)
	at, step := time.UnixMilli(1_700_000_000_000).UTC(), 0
	b.Accept(hints(3, "ci", at)...)
	b.Run(t.Context(), func(s delivery.Stats) bool {
		if !recordtest.Empty(s) {
			return false
		}
		if step++; step == 1 {
			for lane := range b.Queue.Lanes() { // the numbers that the other one has used
				if next, err := b.Queue.NextSeq(t.Context(), lane); err != nil || b.Queue.Skip(t.Context(), lane, next) != nil {
					t.Errorf("lane %d: %v", lane, err)
				}
			}
			b.Accept(hints(3, "ci", at.Add(time.Second))...)
			return false
		}
		return true
	})
	if got := lines(b); len(got) != 2 {
		t.Errorf("recorded %v, want the push again: the tag may have moved meanwhile", got)
	}
}

// Hints that would repeat a push which the contract refuses are not discarded for it.
func TestRefusedPushTakesNoneWithIt(t *testing.T) {
	r := recordtest.NewRegistry()
	b := recordtest.New(t)
	b.Reads(r)
	r.Tags["v1"] = r.Put("a", 40)
	all := hints(4, "ci", time.UnixMilli(1_700_000_000_000).UTC())
	first := all[0].Event.ID
	b.Ledger.Refuse = func(e provenance.Event) error {
		if e.ID == first {
			return provenance.Errorf(provenance.Invalid, "not this one")
		}
		return nil
	}
	b.Accept(all...)
	b.Run(t.Context(), recordtest.Empty)
	recorded := b.Ledger.Recordings(t)
	if dead, err := b.Queue.Dead(t.Context(), 0, 10); len(recorded) != 1 || recorded[first] != 0 || err != nil || len(dead) != 1 {
		t.Errorf("%d recorded, %d dead letters, %v; want one of each", len(recorded), len(dead), err)
	}
}

// The deletion of a tag tells of the image it named as well: that is gone only if the
// registry serves it no more, and where nobody can ask, nobody says so.
func TestTagDeletionAsksForTheImage(t *testing.T) {
	told := func(d provenance.Digest) []delivery.Delivery {
		return []delivery.Delivery{fact(provenance.TagDelete, "v1", d), fact(provenance.Delete, "v1", d)}
	}
	for _, test := range []struct {
		name         string
		served, read bool
		want         []string
	}{
		{"its last tag", false, true, []string{"tag-delete", "delete"}},
		{"it has another tag", true, true, []string{"tag-delete"}},
		{"nobody can ask", false, false, []string{"tag-delete"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := recordtest.NewRegistry()
			b := recordtest.New(t)
			if test.read {
				b.Reads(r)
			}
			d := r.Put("a", 40)
			if !test.served {
				delete(r.By, d)
			}
			b.Accept(told(d)...)
			b.Run(t.Context(), recordtest.Empty)
			var got []string
			for _, events := range b.Ledger.Endorsed {
				for _, e := range events {
					got = append(got, e.Action.String())
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("recorded %v, want %v", got, test.want)
			}
			if dead, err := b.Queue.Dead(t.Context(), 0, 10); err != nil || len(dead) != 0 {
				t.Errorf("%d dead letters, %v: the tag's deletion was true", len(dead), err)
			}
			if test.read && test.served && r.Reads[d] != b.Limits.ReadAttempts {
				t.Errorf("looked %d times, want %d: an image may take a moment to go", r.Reads[d], b.Limits.ReadAttempts)
			}
		})
	}
}
