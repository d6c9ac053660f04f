package tasks

import (
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Proof is the task of proving one image.
func Proof(host provenance.Host, repo provenance.Repository, d provenance.Digest) Task {
	return Task{Kind: Prove, Host: host, Repository: repo, Digest: d, Subject: d}
}

// Unproven lists the tasks for what a segment carries without its manifest.
func Unproven(host provenance.Host, events []provenance.Event, read map[provenance.Digest][]byte) (out []Task) {
	for _, e := range events {
		if e.Action == provenance.Push && len(read[e.Digest]) == 0 {
			out = append(out, Proof(host, e.Repository, e.Digest))
		}
	}
	return out
}
