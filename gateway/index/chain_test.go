package index

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

const (
	host = provenance.Host("reg.example:5000")
	repo = provenance.Repository("team/app")
)

func digest(s string) provenance.Digest { return provenance.SHA256Of([]byte(s)) }

// chain makes consecutive blocks.
type chain struct {
	t      testing.TB
	blocks []block.Block
	seq    uint64
	state  map[string][]byte // as an index has it
	peer   map[string][]byte // as a peer has it
}

func newChain(t testing.TB) *chain {
	return &chain{t: t, state: map[string][]byte{}, peer: map[string][]byte{}}
}

// Get implements state.Reader.
func (c *chain) Get(keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = c.peer[k]
	}
	return values, nil
}

func hashOf(n int) []byte { return fmt.Appendf(nil, "hash-%d", n) }

func (c *chain) block(txs ...block.Tx) block.Block {
	b := block.Block{Number: uint64(len(c.blocks)), Hash: hashOf(len(c.blocks)), Txs: txs}
	if b.Number > 0 {
		b.PreviousHash = hashOf(len(c.blocks) - 1)
	}
	for _, t := range txs {
		for _, w := range t.Writes {
			if w.Delete {
				delete(c.state, w.Key)
				delete(c.peer, w.Key)
				continue
			}
			c.peer[w.Key] = w.Value
			entries, err := state.Unpack(state.Entry{Key: w.Key, Value: w.Value})
			if err != nil {
				c.t.Fatal(err)
			}
			for _, e := range entries {
				c.state[e.Key] = e.Value
			}
		}
	}
	c.blocks = append(c.blocks, b)
	return b
}

func at(minute int) time.Time { return time.Date(2026, 1, 1, 12, minute, 0, 0, time.UTC) }

func (c *chain) tx(index int, who string, writes ...block.Write) block.Tx {
	slices.SortFunc(writes, func(a, b block.Write) int { return strings.Compare(a.Key, b.Key) }) // as in a write set
	name, msp, _ := strings.Cut(who, "@")
	return block.Tx{ID: fmt.Sprintf("tx-%d-%d", len(c.blocks), index), Index: index, Creator: policy.Person{MSP: msp, Name: name}, At: at(len(c.blocks)), Writes: writes}
}

func (c *chain) put(key string, record any) block.Write {
	b, err := state.Encode(record)
	if err != nil {
		c.t.Fatal(err)
	}
	return block.Write{Key: key, Value: b}
}

// unproven is the media type of a push whose manifest's bytes were not there.
const unproven = "unproven"

// segment is record:Segment's write set: the segment, and the tags and places
// it moves, those that are new in leaves.
func (c *chain) segment(events ...provenance.Event) []block.Write {
	b, err := provenance.EncodeSegment(events)
	if err != nil {
		c.t.Fatal(err)
	}
	c.seq++
	d, segment := state.NewDirectory(c), state.JournalKey(time.Time{}, host, "VendorMSP", "lane-0", c.seq)
	var keys []string
	for _, e := range events {
		if e.Action == provenance.Push {
			keys = append(keys, state.PlaceKey(e.Digest, host, e.Repository))
		}
		if movesTag(e) {
			keys = append(keys, state.TagKey(host, e.Repository, e.Tag))
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	found, err := d.Recorded(keys...)
	if err != nil {
		c.t.Fatal(err)
	}
	records := c.moved(events, keys, found.Values)
	all := []block.Write{{Key: segment, Value: b}}
	for i, k := range keys {
		switch {
		case records[k] == nil:
		case found.Own(i):
			all = append(all, c.put(k, records[k]))
		default:
			if err := found.Add(i, records[k]); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	packed, err := d.Writes(time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range packed {
		all = append(all, block.Write{Key: e.Key, Value: e.Value, Delete: e.Value == nil})
	}
	return all
}

// moved returns what events make of the places and tags they touch, as the
// contract has it: those that change.
func (c *chain) moved(events []provenance.Event, keys []string, values [][]byte) map[string]any {
	changed, places, tags := map[string]any{}, map[string]*state.Place{}, map[string]*state.Tag{}
	for i, k := range keys {
		if values[i] == nil {
			continue
		}
		var into any = &state.Tag{}
		if kind, _, _ := state.SplitKey(k); kind == state.TypePlace {
			places[k] = &state.Place{}
			into = places[k]
		} else {
			tags[k] = into.(*state.Tag)
		}
		if err := state.Decode(values[i], into); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, e := range events {
		if e.Action == provenance.Push {
			k := state.PlaceKey(e.Digest, host, e.Repository)
			place := places[k]
			if place == nil {
				place = &state.Place{MSP: "VendorMSP", At: e.OccurredAt}
				places[k], changed[k] = place, place
			}
			if e.MediaType != unproven && !place.Proven {
				place.Proven, place.MediaType, place.Subject = true, e.MediaType, e.Subject
				changed[k] = place
			}
			if e.Tag != "" && !slices.Contains(place.Tags, e.Tag) {
				place.Tags, changed[k] = append(place.Tags, e.Tag), place
			}
		}
		if !movesTag(e) {
			continue
		}
		k, to := state.TagKey(host, e.Repository, e.Tag), target(e)
		tag := tags[k]
		if tag == nil && to.IsZero() || tag != nil && tag.Digest == to {
			continue
		}
		if tag == nil {
			tag = &state.Tag{}
		}
		tag.Previous, tag.Digest, tag.At = tag.Digest, to, e.OccurredAt
		tag.Moves++
		tags[k], changed[k] = tag, tag
	}
	return changed
}

func event(a provenance.Action, tag, content string, minute int) provenance.Event {
	e := provenance.Event{ID: provenance.NewEventID("test", "c", a.String(), tag, content, fmt.Sprint(minute)), Action: a, Source: "test",
		Repository: repo, Tag: provenance.Tag(tag), MediaType: "application/vnd.oci.image.manifest.v1+json", Actor: "ci", OccurredAt: at(minute)}
	if content != "" {
		e.Digest = digest(content)
	}
	return e
}

// story is a push, its approval and release, a moved tag, and a quarantine.
func story(t testing.TB) *chain {
	c := newChain(t)
	s := state.Subject{Stage: "production", Host: host, Repository: repo, Digest: digest("v1")}
	c.block()
	c.blocks[0].Organisations = []block.Organisation{{MSPID: "VendorMSP", RootCerts: [][]byte{[]byte("pem")}}, {MSPID: "AuditMSP"}}
	c.block(
		c.tx(0, "admin@VendorMSP", c.put(state.MemberKey("VendorMSP"), state.Member{MSP: "VendorMSP", Name: "vendor"}), c.put(state.MembersKey(), state.Members{MSPs: []string{"VendorMSP"}})),
		c.tx(2, "admin@VendorMSP", c.put(state.RegistryKey(host), state.Registry{Host: host, Claims: []state.Claim{{Owner: "VendorMSP", Kind: "distribution"}}})),
		c.tx(3, "admin@VendorMSP", c.put(state.GrantKey("VendorMSP", "rm", "release-manager"), state.Grant{MSP: "VendorMSP", Identity: "rm", Role: state.RoleReleaseManager})),
	)
	c.block(c.tx(0, "gateway@VendorMSP", c.segment(event(provenance.Push, "1.0", "v1", 1), event(provenance.Pull, "", "v1", 2), event(provenance.Pull, "", "v1", 3))...))
	c.block(c.tx(0, "rm@VendorMSP", c.put(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionOpen})))
	c.block(c.tx(0, "rm@AuditMSP",
		c.put(s.ApprovalKey(1, "AuditMSP"), state.Approval{Subject: s, Attempt: 1, Approval: policy.Approval{Reason: "scanned"}}),
		c.put(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionReleased}),
		c.put(s.ReleasedKey(), state.Release{Subject: s, Attempt: 1, Policy: policy.Version{Name: "default", Version: 1}}),
		c.put(s.ReleaseKey(), state.Current{Digest: s.Digest}),
	))
	c.block(c.tx(0, "gateway@VendorMSP", c.segment(
		event(provenance.Push, "1.0", "v2", 4), event(provenance.Push, "1.0", "v3", 5), event(provenance.TagDelete, "1.0", "", 6), event(provenance.Pull, "", "v1", 7))...))
	c.block(c.tx(0, "rm@AuditMSP", c.put(s.RefusalKey("tx"), state.Refusal{Verdict: policy.Verdict{Verdict: policy.Denied, Reasons: []policy.Reason{
		{Rule: "recorded", Outcome: policy.Satisfied}, {Rule: "approvals", Outcome: policy.Unmet}, {Rule: "evidence/scan", Outcome: policy.Violated}, {Rule: "soak", Outcome: policy.Waived}}}})),
		c.tx(1, "scanner@AuditMSP", c.put(state.HoldKey(s.Digest, "AuditMSP"), state.Hold{Digest: s.Digest, MSP: "AuditMSP", Reason: "CVE"})))
	return c
}
