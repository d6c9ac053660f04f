package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// BenchmarkSegment is what record:Segment costs without a peer: 5,000 pushes of
// new images with a new tag each into 4 repositories, which hold 10,000 already.
func BenchmarkSegment(b *testing.B) {
	l := network(b)
	serial := 0
	segment := func() (events []byte, sum string) {
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
		return events, hex.EncodeToString(hash[:])
	}
	record := func(seq int, events []byte, sum string) {
		_, _, err := l.invoke("gateway@VendorMSP", map[string][]byte{"segment": events}, "record:Segment", host, "lane-0", strconv.Itoa(seq), sum)
		if err != nil {
			b.Fatal(err)
		}
	}
	seq := 0
	for ; seq < 2; seq++ {
		events, sum := segment()
		record(seq, events, sum)
	}
	for b.Loop() {
		b.StopTimer()
		events, sum := segment()
		b.StartTimer()
		record(seq, events, sum)
		seq++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/provenance.MaxSegmentEvents, "ns/push")
}
