package gateway

import (
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// proofOf is the task of proving one image.
func proofOf(host provenance.Host, repo provenance.Repository, d provenance.Digest) task {
	return task{Kind: taskProve, Host: host, Repository: repo, Digest: d, Subject: d}
}

// unprovenOf lists the tasks for what a segment carries without its manifest.
func unprovenOf(host provenance.Host, events []provenance.Event, read map[provenance.Digest][]byte) (out []task) {
	for _, e := range events {
		if e.Action == provenance.Push && len(read[e.Digest]) == 0 {
			out = append(out, proofOf(host, e.Repository, e.Digest))
		}
	}
	return out
}
