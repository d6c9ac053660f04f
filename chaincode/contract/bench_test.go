package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// BenchmarkSegment is what record:Segment costs without a peer: 5,000 pushes of
// new images with a new tag each into 4 repositories, which hold 10,000 already,
// with their manifests and without.
func BenchmarkSegment(b *testing.B) {
	l := network(b)
	serial := 0
	segment := func() (events, manifests []byte, sum string) {
		batch := make([]provenance.Event, provenance.MaxSegmentEvents)
		for i := range batch {
			serial++
			batch[i] = push(fmt.Sprint("t", serial), fmt.Sprint("image ", serial))
			batch[i].Repository = provenance.Repository(fmt.Sprint(repo, "-", serial%4))
		}
		events, err := provenance.EncodeSegment(batch)
		if err != nil {
			b.Fatal(err)
		}
		hash := sha256.Sum256(events)
		return events, manifestsOf(batch), hex.EncodeToString(hash[:])
	}
	record := func(seq int, events, manifests []byte, sum string) {
		_, _, err := l.invoke("gateway@VendorMSP", map[string][]byte{"segment": events, "manifests": manifests}, "record:Segment", host, "lane-0", strconv.Itoa(seq), sum)
		if err != nil {
			b.Fatal(err)
		}
	}
	seq := 0
	for ; seq < 2; seq++ {
		events, manifests, sum := segment()
		record(seq, events, manifests, sum)
	}
	for name, bare := range map[string]bool{"proven": false, "by digest alone": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				events, manifests, sum := segment()
				if bare {
					manifests = nil
				}
				b.StartTimer()
				record(seq, events, manifests, sum)
				seq++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/provenance.MaxSegmentEvents, "ns/push")
		})
	}
}

// BenchmarkBatch judges signed pieces, four to an image, as many as a batch has.
func BenchmarkBatch(b *testing.B) {
	l := network(b)
	key := l.key("SecurityMSP", "scan", "")
	var contents []string
	for i := range evidence.MaxBatch / 4 {
		contents = append(contents, fmt.Sprint("image-", i))
	}
	l.packed(contents...)
	var pieces []evidence.Piece
	for _, c := range contents {
		for typ, facts := range map[string]string{"vuln-scan": scanned(0), "test-result": tested("PASSED"), "vsa": `{"verifier":"v","result":"PASSED","levels":[],"policy":"","policyDigest":"","resourceUri":"","repository":"","slsaVersion":""}`,
			"review": `{"approved":true,"reviewers":[],"commit":"","comment":"","url":""}`} {
			pieces = append(pieces, piece(c, "dsse", "SecurityMSP", "scan", signed(b, stated(c, typ, facts, ""), key)))
		}
	}
	before := maps.Clone(l.state)
	for b.Loop() {
		l.state = maps.Clone(before)
		outcomes, _, err := l.batch("gateway@VendorMSP", pieces...)
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range outcomes {
			if o.Err() != nil {
				b.Fatal(o)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(pieces)), "ns/piece")
}
