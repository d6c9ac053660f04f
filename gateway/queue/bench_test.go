package queue

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/waybill-dev/waybill/gateway/delivery"
)

// BenchmarkAcceptSingle is webhook traffic: many callers, one event each,
// every acknowledgement after an fsync.
func BenchmarkAcceptSingle(b *testing.B) { benchAcceptSingle(b, createFile) }

// BenchmarkServerAcceptSingle is the same on PostgreSQL.
func BenchmarkServerAcceptSingle(b *testing.B) { benchAcceptSingle(b, createSchema) }

func benchAcceptSingle(b *testing.B, create creator) {
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			q := open(b, create(b), Options{})
			var n atomic.Int64
			b.SetParallelism(max(1, callers/2))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := int(n.Add(1))
					if _, err := q.Accept(context.Background(), []delivery.Delivery{testDelivery(fmt.Sprintf("r%d", i%50), i)}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkAcceptBulk is a sweep: one caller with long lists.
func BenchmarkAcceptBulk(b *testing.B) { benchAcceptBulk(b, createFile) }

// BenchmarkServerAcceptBulk is the same on PostgreSQL.
func BenchmarkServerAcceptBulk(b *testing.B) { benchAcceptBulk(b, createSchema) }

func benchAcceptBulk(b *testing.B, create creator) {
	for _, size := range []int{500, 2000, MaxDeliveries} {
		b.Run(fmt.Sprintf("list=%d", size), func(b *testing.B) {
			q := open(b, create(b), Options{MaxPending: 1 << 30})
			n := 0
			for b.Loop() {
				b.StopTimer()
				ds := make([]delivery.Delivery, size)
				for i := range ds {
					ds[i] = testDelivery(fmt.Sprintf("r%d", n%50), n)
					n++
				}
				b.StartTimer()
				if _, err := q.Accept(context.Background(), ds); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkDrain is the other end: lease, seal and record segments of 500.
func BenchmarkDrain(b *testing.B) { benchDrain(b, createFile) }

// BenchmarkServerDrain is the same on PostgreSQL.
func BenchmarkServerDrain(b *testing.B) { benchDrain(b, createSchema) }

func benchDrain(b *testing.B, create creator) {
	q := open(b, create(b), Options{Lanes: 1, MaxPending: 1 << 30})
	seq, n := uint64(1), 0
	for b.Loop() {
		b.StopTimer()
		accept(b, q, deliveries("r", n, n+500)...)
		n += 500
		b.StartTimer()
		s := seal(b, q, 0, seq, lease(b, q, 0, 500))
		if err := q.Recorded(context.Background(), s, seq); err != nil {
			b.Fatal(err)
		}
		seq++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkDrainBacklog drains what a busy registry left behind: eight lanes
// that arrived all mixed, in segments of 5,000.
func BenchmarkDrainBacklog(b *testing.B) { benchDrainBacklog(b, createFile) }

// BenchmarkServerDrainBacklog is the same on PostgreSQL.
func BenchmarkServerDrainBacklog(b *testing.B) { benchDrainBacklog(b, createSchema) }

func benchDrainBacklog(b *testing.B, create creator) {
	const lanes, backlog, segment = 8, 80_000, 5_000
	q := open(b, create(b), Options{Lanes: lanes, MaxPending: 1 << 30})
	seq, n := map[int]uint64{}, 0
	for b.Loop() {
		b.StopTimer()
		for range backlog / 500 {
			ds := make([]delivery.Delivery, 500)
			for i := range ds {
				ds[i] = testDelivery(fmt.Sprintf("r%d", n%50), n)
				n++
			}
			accept(b, q, ds...)
		}
		b.StartTimer()
		for left := true; left; {
			left = false
			for lane := range lanes {
				items := lease(b, q, lane, segment)
				if len(items) == 0 {
					continue
				}
				left = true
				seq[lane]++
				if err := q.Recorded(context.Background(), seal(b, q, lane, seq[lane], items), seq[lane]); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
