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

// What an event adds to SQLite's log does not depend on how many ids are remembered.
func TestWrittenPerEvent(t *testing.T) {
	written := func(known int) int64 {
		path := createFile(t)
		remember(t, path, known)
		q := open(t, path, Options{Lanes: 4})
		compacted(t, q)
		size := func() int64 {
			info, err := os.Stat(path + "-wal")
			if err != nil {
				t.Fatal(err)
			}
			return info.Size()
		}
		before := size()
		growthRound(t, q, 0, 32, map[int]uint64{})
		return size() - before
	}
	few, many := written(100), written(3*memtableIDs)
	if many > few+few/20 {
		t.Errorf("4,000 events write %d bytes where 100 ids are remembered, and %d where %d are", few, many, 3*memtableIDs)
	}
	t.Logf("%d bytes an event", many/4000)
}

// BenchmarkGrowth measures what an event costs from Accept to Recorded, by how
// many ids are remembered: events a second, and what others on the machine do
// not change, the process's time and the bytes it writes.
//
// Calls of one event are a registry at rest, of 32 what group commit makes of
// webhooks at some thousands a second. Segments carry up to 500 events and an
// envelope like the recorder's.
func BenchmarkGrowth(b *testing.B) {
	most := 100_000
	if s := os.Getenv(growthEnv); s != "" {
		var err error
		if most, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	for known := 10_000; known <= most; known *= 10 {
		for _, call := range []int{1, 32} {
			b.Run(fmt.Sprintf("known=%d/call=%d", known, call), func(b *testing.B) { benchGrowth(b, known, call) })
		}
	}
}

func benchGrowth(b *testing.B, known, call int) {
	where := createFile(b)
	remember(b, where, known)
	q := open(b, where, Options{Lanes: 4})
	compacted(b, q)
	b.ResetTimer()
	before := usage(b)
	n, seq := 0, map[int]uint64{}
	for b.Loop() {
		n = growthRound(b, q, n, call, seq)
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
}

// growthRound accepts events by 125 calls and records them.
func growthRound(b testing.TB, q *Queue, n, call int, seq map[int]uint64) int {
	const calls, segmentOf = 125, 500
	for range calls {
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
func growthSegment(b testing.TB, q *Queue, lane int, seq uint64, items []Item) Segment {
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
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
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
