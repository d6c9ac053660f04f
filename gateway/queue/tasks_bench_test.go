package queue

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkTasks is the life of a task, noted with 999 others in a block, taken with 63
// and ended while others end: the processor time of all of it.
func BenchmarkTasks(b *testing.B) {
	const block = 1000
	q := open(b, createFile(b), Options{Lanes: 1})
	of := map[string]int{"collect": block}
	before, height := processorTime(b), uint64(0)
	for b.Loop() {
		var tasks []Task
		for n := range block {
			tasks = append(tasks, aTask(fmt.Sprint("r", n%16), int(height)*block+n))
		}
		height++
		if err := q.Tasks().Note(b.Context(), TaskBlock{Height: height, Tasks: tasks}); err != nil {
			b.Fatal(err)
		}
		var ended sync.WaitGroup
		for done := 0; done < block; {
			taken, _, err := q.Tasks().TakeSome(b.Context(), collecting, of, 64)
			if err != nil {
				b.Fatal(err)
			}
			done += len(taken)
			for _, t := range taken {
				ended.Go(func() {
					if err := q.Tasks().Done(b.Context(), t); err != nil {
						b.Error(err)
					}
				})
			}
		}
		ended.Wait()
	}
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N)/block, "cpu-µs/task")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
