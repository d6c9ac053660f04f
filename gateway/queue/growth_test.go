package queue

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// growthEnv makes BenchmarkGrowth measure up to so many remembered ids, a power of ten.
const growthEnv = "WAYBILL_BENCH_KNOWN"

// BenchmarkGrowth measures what an event costs from Accept to Recorded, by how
// many ids are remembered: events a second, and what others on the machine do
// not change, the process's time and the bytes it writes.
//
// Calls of 32 are what group commit makes of webhooks at some thousands a
// second; segments carry 500 events and an envelope like the recorder's.
func BenchmarkGrowth(b *testing.B) {
	most := 100_000
	if s := os.Getenv(growthEnv); s != "" {
		var err error
		if most, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	for known := 10_000; known <= most; known *= 10 {
		b.Run(fmt.Sprintf("known=%d", known), func(b *testing.B) {
			where := createFile(b)
			remember(b, where, known)
			q := open(b, where, Options{Lanes: 4})
			compacted(b, q)
			b.ResetTimer()
			before := usage(b)
			n, seq := 0, map[int]uint64{}
			for b.Loop() {
				n = growthRound(b, q, n, seq)
			}
			b.StopTimer()
			compacted(b, q)
			if err := q.Close(); err != nil { // brings the log into the file
				b.Fatal(err)
			}
			spent, events := usage(b).since(before), float64(n)
			b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(spent.cpu.Microseconds())/events, "cpu-µs/event")
			b.ReportMetric(float64(spent.disk)/events, "disk-B/event")
			b.ReportMetric(float64(spent.written)/events, "written-B/event")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/events, "ns/event")
		})
	}
}

// growthRound accepts 4,000 events and records them.
func growthRound(b *testing.B, q *Queue, n int, seq map[int]uint64) int {
	const events, call, segmentOf = 4000, 32, 500
	for range events / call {
		ds := make([]delivery.Delivery, call)
		for i := range ds {
			ds[i] = growthDelivery(n)
			n++
		}
		accept(b, q, ds...)
	}
	for lane := range q.Lanes() {
		for {
			items := lease(b, q, lane, segmentOf)
			if len(items) == 0 {
				break
			}
			seq[lane]++
			s := growthSegment(b, q, lane, seq[lane], items)
			if err := q.Seal(b.Context(), s, items); err != nil {
				b.Fatal(err)
			}
			if err := q.Recorded(b.Context(), s, seq[lane]); err != nil {
				b.Fatal(err)
			}
		}
	}
	return n
}

func growthDelivery(n int) delivery.Delivery {
	d := testDelivery(fmt.Sprintf("team%d/app", n%32), n)
	d.Event.Tag = provenance.Tag(fmt.Sprintf("v1.%d", n))
	d.Event.Actor = "builder"
	return d
}

// growthSegment is a segment whose envelope contains its bytes, as Fabric's does.
func growthSegment(b *testing.B, q *Queue, lane int, seq uint64, items []Item) Segment {
	events := make([]provenance.Event, len(items))
	for i, it := range items {
		events[i] = it.Event
	}
	bytes, err := provenance.EncodeSegment(events)
	if err != nil {
		b.Fatal(err)
	}
	const around = 3000 // proposal, certificates and endorsements
	tx := append([]byte(strings.Repeat("c", around)), bytes...)
	return Segment{Lane: lane, LaneName: q.LaneName(lane), Seq: seq, Host: testHost, Bytes: bytes, TxID: strings.Repeat("a", 64), Tx: append(tx, strings.Repeat("s", around)...)}
}

// spent is what the process has used.
type spent struct {
	cpu           time.Duration
	disk, written int64
}

func (s spent) since(before spent) spent {
	return spent{s.cpu - before.cpu, s.disk - before.disk, s.written - before.written}
}

func usage(b *testing.B) (s spent) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	s.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip("bytes written are counted on Linux only")
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseInt(value, 10, 64) //nolint:errcheck // names that are not asked for may hold anything
		switch name {
		case "write_bytes":
			s.disk = n
		case "wchar":
			s.written = n
		}
	}
	return s
}

// knownID is the n-th of the ids that a benchmark's queue remembers.
func knownID(n int) []byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return h[:len(provenance.EventID{})]
}
