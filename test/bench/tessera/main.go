// Program tessera measures how fast a Tessera log on a POSIX file system, with its
// persistent antispam, takes and integrates entries: the reference that Waybill's
// growth is compared with, on the same machine, in the same hour. One operator
// signs its checkpoints; there is no consensus.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"github.com/transparency-dev/tessera/storage/posix/antispam"
	"golang.org/x/mod/sumdb/note"
)

// result is what a run found. The keys are read by test/bench.
type result struct {
	Began    time.Time `json:"began"`
	Entries  int       `json:"entries"`
	Leaf     int       `json:"leaf_bytes"`
	Batch    uint      `json:"batch"`
	BatchAge string    `json:"batch_age"`
	Adders   int       `json:"adders"`
	Tenths   []float64 `json:"tenths"` // entries integrated per second in each
	Rate     float64   `json:"rate"`   // from the first entry added to the last one integrated
}

func main() {
	r := result{}
	flag.IntVar(&r.Entries, "entries", 1_000_000, "how many entries")
	flag.IntVar(&r.Leaf, "leaf", 200, "bytes of an entry")
	flag.UintVar(&r.Batch, "batch", tessera.DefaultBatchMaxSize, "the most entries of a batch")
	age := flag.Duration("batch-age", tessera.DefaultBatchMaxAge, "how long a batch waits for more")
	flag.IntVar(&r.Adders, "adders", 2048, "callers that add at once, each waiting for its entry's index")
	out := flag.String("out", "", "write the result to this `file` as JSON")
	flag.Parse()
	r.BatchAge = age.String()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := r.run(ctx, *age)
	stop()
	if err == nil && *out != "" {
		err = r.write(*out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tessera:", err)
		os.Exit(1)
	}
}

func (r *result) run(ctx context.Context, age time.Duration) (err error) {
	if r.Entries < 10 || r.Leaf < 8 || r.Adders < 1 {
		return errors.New("want at least 10 entries of at least 8 bytes and one adder")
	}
	dir, err := os.MkdirTemp("", "waybill-tessera-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	driver, err := posix.New(ctx, posix.Config{Path: filepath.Join(dir, "log")})
	if err != nil {
		return err
	}
	known, err := badger.NewAntispam(ctx, filepath.Join(dir, "antispam"), badger.AntispamOpts{})
	if err != nil {
		return err
	}
	key, _, err := note.GenerateKey(rand.Reader, "bench.example")
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(key)
	if err != nil {
		return err
	}
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).WithBatching(r.Batch, age).WithAntispam(tessera.DefaultAntispamInMemorySize, known))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shutdown(context.WithoutCancel(ctx))) }()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.Began = time.Now()
	var adders sync.WaitGroup
	defer adders.Wait()
	defer cancel(nil)
	var next atomic.Int64
	for range r.Adders {
		adders.Go(func() {
			if err := r.add(ctx, appender, &next); err != nil {
				cancel(err)
			}
		})
	}
	return r.watch(ctx, reader)
}

// add adds entries until there are enough. One that is pushed back is added again:
// that is how Tessera says that it is behind.
func (r *result) add(ctx context.Context, appender *tessera.Appender, next *atomic.Int64) error {
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for {
		i := next.Add(1)
		if i > int64(r.Entries) {
			return nil
		}
		leaf := make([]byte, r.Leaf)
		_, _ = rand.Read(leaf) // never fails
		binary.BigEndian.PutUint64(leaf, uint64(i))
		for {
			_, err := appender.Add(ctx, tessera.NewEntry(leaf))()
			if err == nil {
				break
			}
			if !errors.Is(err, tessera.ErrPushback) {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-pause.C:
			}
		}
	}
}

// watch follows the size of the integrated tree to the end and prints a line for each tenth.
func (r *result) watch(ctx context.Context, reader tessera.LogReader) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	from, held := r.Began, uint64(0)
	for len(r.Tenths) < 10 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		size, err := reader.IntegratedSize(ctx)
		if err != nil || size < uint64(r.Entries*(len(r.Tenths)+1)/10) {
			continue // the tree is not there before its first batch
		}
		now := time.Now()
		rate := float64(size-held) / now.Sub(from).Seconds()
		r.Tenths = append(r.Tenths, rate)
		done := len(r.Tenths)
		left := now.Sub(r.Began) / time.Duration(done) * time.Duration(10-done)
		fmt.Printf("tessera: tenth %2d of 10  %9d entries  %7.0f /s  about %s left\n", done, size, rate, left.Round(time.Second))
		from, held = now, size
	}
	r.Rate = float64(held) / from.Sub(r.Began).Seconds()
	fmt.Printf("tessera: POSIX with antispam, entries of %d bytes, batches of %d or %s, %d adders: %.0f entries/s integrated\n", r.Leaf, r.Batch, r.BatchAge, r.Adders, r.Rate)
	return nil
}

func (r *result) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
