package gateway

import (
	"path"
	"regexp"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

// artifactTag is a tag under which something about an image is kept: cosign's
// (sigstore/cosign, specs/SIGNATURE_SPEC.md and SBOM_SPEC.md), and without a
// suffix the index of referrers (OCI distribution specification, "Referrers Tag Schema").
var artifactTag = regexp.MustCompile(`^(sha256)-([0-9a-f]{64})(\.sig|\.att|\.sbom)?$`)

// taggedSubject returns the image that a tag's name says the tagged is about.
func taggedSubject(tag provenance.Tag) (subject provenance.Digest, ok bool) {
	m := artifactTag.FindStringSubmatch(string(tag))
	if m == nil {
		return provenance.Digest{}, false
	}
	subject, err := provenance.ParseDigest(m[1] + ":" + m[2])
	return subject, err == nil
}

// noter reads off each block what this gateway has to do about it.
type noter struct {
	msp     string
	collect bool
	witness []string // patterns over registry hosts
	list    *worklist
	looked  func() // after each block
}

// Height is the number of blocks whose tasks are noted.
func (n *noter) Height() uint64 { return n.list.Height() }

// block notes the tasks of a block that the index holds; those of a block below
// the list's height are noted. Only the owner of a registry records its
// segments, so the creator's organisation is the owner.
func (n *noter) block(b block.Block) {
	if b.Number < n.list.Height() {
		return
	}
	var tasks []task
	pushed := map[provenance.Digest]bool{}
	keys := false
	for _, tx := range b.Txs {
		for _, w := range tx.Writes {
			objectType, attributes, ok := state.SplitKey(w.Key)
			switch {
			case !ok || w.Delete:
			case objectType == state.TypeKey, objectType == state.TypeSchema:
				keys = true
			case objectType == state.TypeSegment && len(attributes) > 0:
				events, err := provenance.DecodeSegment(w.Value)
				if err != nil {
					continue // the index has refused the block before
				}
				for _, e := range events {
					if e.Action == provenance.Push {
						pushed[e.Digest] = true
						tasks = append(tasks, n.push(tx.Creator.MSP, provenance.Host(attributes[0]), e)...)
					}
				}
			}
		}
	}
	var wakes func(task) bool
	if keys || len(pushed) > 0 {
		wakes = func(t task) bool {
			return t.Wants == wantsKey && keys || t.Wants == wantsSubject && pushed[t.Subject]
		}
	}
	n.list.note(b.Number+1, tasks, wakes)
	if n.looked != nil && len(b.Txs) > 0 {
		n.looked()
	}
}

// push returns what to do about one recorded push.
func (n *noter) push(owner string, host provenance.Host, e provenance.Event) []task {
	t := task{Host: host, Repository: e.Repository, Digest: e.Digest, Tag: e.Tag}
	if owner != n.msp {
		if !slices.ContainsFunc(n.witness, func(p string) bool { ok, _ := path.Match(p, string(host)); return ok }) {
			return nil
		}
		t.Kind, t.Tag = taskWitness, ""
		return []task{t}
	}
	if !n.collect {
		return nil
	}
	t.Kind, t.Subject = taskCollect, e.Subject
	if tagged, ok := taggedSubject(e.Tag); ok && t.Subject.IsZero() {
		t.Subject = tagged
	}
	if t.Subject.IsZero() {
		return nil
	}
	return []task{t}
}
