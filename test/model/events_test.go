package model

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func (w *world) segmentOf(by person, repo string, events []event, lie string) (map[string][]byte, []string) {
	var list []provenance.Event
	var manifests []byte
	sent := map[int]bool{}
	for i, e := range events {
		out := provenance.Event{
			ID: provenance.NewEventID("model", repo, strconv.Itoa(w.txs), strconv.Itoa(i)), Source: "distribution", Repository: provenance.Repository(repo), Tag: provenance.Tag(e.tag),
			Actor: "ci", OccurredAt: e.at,
		}
		switch e.do {
		case "push":
			out.Action, out.Digest = provenance.Push, corpus()[e.image].digest
			out.MediaType = "application/vnd.oci.image.manifest.v1+json"
			if lie != "" { // it says that it holds everything, and is about something else
				out.MediaType = "application/vnd.oci.image.index.v1+json"
				out.Children, out.Subject = []provenance.Digest{corpus()[0].digest, corpus()[1].digest, corpus()[2].digest}, corpus()[3].digest
			}
			if e.bytes && !sent[e.image] {
				sent[e.image] = true
				body := corpus()[e.image].body
				manifests = append(binary.AppendUvarint(manifests, uint64(len(body))), body...)
			}
		case "delete":
			out.Action, out.Digest, out.Tag = provenance.Delete, corpus()[e.image].digest, ""
		case "untag":
			out.Action = provenance.TagDelete
		}
		list = append(list, out)
	}
	b, err := provenance.EncodeSegment(list)
	if err != nil {
		panic(err)
	}
	w.segment++
	sum := sha256.Sum256(b)
	return map[string][]byte{"segment": b, "manifests": manifests}, []string{"record:Segment", host, "lane-0", strconv.Itoa(w.segment), hex.EncodeToString(sum[:])}
}
