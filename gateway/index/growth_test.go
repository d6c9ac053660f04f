package index

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// grower makes the blocks of a registry that grows: pushes of new images, half of
// them under tags that move, and pulls of any image.
type grower struct {
	*chain
	random       *rand.Rand
	repositories int
	pushed       int
	segments     int // events of each
}

func newGrower(t testing.TB, repositories, segment int) *grower {
	return &grower{newChain(t), rand.New(rand.NewPCG(9, 9)), repositories, 0, segment}
}

// inRepository of the n-th push. What a segment holds is of one lane.
func (g *grower) inRepository(n int) provenance.Repository {
	lanes := max(1, g.repositories/125)
	return provenance.Repository(fmt.Sprintf("team/app-%d", n/g.segments%lanes+lanes*int(uint32(n)*2654435761>>8%uint32(g.repositories/lanes))))
}

func (g *grower) image(n int) provenance.Digest { return digest(fmt.Sprint("image ", n)) }

func (g *grower) tag(n int) provenance.Tag {
	if n%2 == 0 {
		return [...]provenance.Tag{"latest", "main", "edge"}[n/2%3]
	}
	return provenance.Tag(fmt.Sprint("1.0.", n))
}

func (g *grower) push(n int) provenance.Event {
	return provenance.Event{
		ID: provenance.NewEventID("test", "c", fmt.Sprint(n)), Action: provenance.Push, Source: "distribution", Repository: g.inRepository(n), Tag: g.tag(n), Digest: g.image(n),
		MediaType: "application/vnd.oci.image.manifest.v1+json", Actor: "ci-bot", OccurredAt: at(0).Add(time.Duration(n) * time.Second),
	}
}

func (g *grower) pushes() block.Block {
	var events []provenance.Event
	for range g.segments {
		events, g.pushed = append(events, g.push(g.pushed)), g.pushed+1
	}
	return g.next(g.segment(events...))
}

func (g *grower) pulls() block.Block {
	var events []provenance.Event
	for range g.segments {
		n := g.random.IntN(g.pushed)
		events = append(events, provenance.Event{
			ID: provenance.EventID(digest(fmt.Sprint("pull ", g.random.Uint64())).Raw()[:len(provenance.EventID{})]), Action: provenance.Pull, Source: "distribution",
			Repository: g.inRepository(n), Digest: g.image(n), Actor: "node", Address: "10.1.2.3", UserAgent: "containerd/2.0", OccurredAt: at(1).Add(time.Duration(n) * time.Second),
		})
	}
	b, err := provenance.EncodeSegment(events)
	if err != nil {
		g.t.Fatal(err)
	}
	g.seq++
	return g.next([]block.Write{{Key: state.JournalKey(time.Time{}, host, "VendorMSP", "lane-0", g.seq), Value: b}})
}

// next is a block of one transaction. The peer forgets segments, which nothing reads.
func (g *grower) next(writes []block.Write) block.Block {
	number := len(g.blocks)
	slices.SortFunc(writes, func(a, b block.Write) int { return strings.Compare(a.Key, b.Key) })
	for _, w := range writes {
		if kind, _, _ := state.SplitKey(w.Key); kind != state.TypeJournal {
			g.peer[w.Key] = w.Value
		}
		if w.Delete {
			delete(g.peer, w.Key)
		}
	}
	tx := block.Tx{ID: fmt.Sprintf("%064x", number), At: at(0).Add(time.Duration(number) * time.Second), Writes: writes}
	tx.Creator.MSP, tx.Creator.Name = "VendorMSP", "gateway"
	b := block.Block{Number: uint64(number), Hash: hashOf(number), Txs: []block.Tx{tx}}
	if number > 0 {
		b.PreviousHash = hashOf(number - 1)
	}
	g.blocks = append(g.blocks, block.Block{})
	return b
}

// spent is what this process used so far.
type spent struct {
	processor, wall time.Duration
	bytes           int64 // written to files
}

func spending(t testing.TB) (s spent) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	s.processor, s.wall = time.Duration(u.Utime.Nano()+u.Stime.Nano()), time.Duration(time.Now().UnixNano())
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return s // not on Linux
	}
	for _, line := range strings.Split(string(b), "\n") {
		if n, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			s.bytes, _ = strconv.ParseInt(n, 10, 64)
		}
	}
	return s
}

func (s *spent) add(from, to spent) {
	s.processor, s.wall, s.bytes = s.processor+to.processor-from.processor, s.wall+to.wall-from.wall, s.bytes+to.bytes-from.bytes
}

// BenchmarkGrowth tells, for each tenth of a registry's growth, what a push and a
// pull cost, and at the end how long answers take. WAYBILL_GROWTH is how many
// images there are in the end (default 20,000), WAYBILL_GROWTH_DIR where.
func BenchmarkGrowth(b *testing.B) {
	images := 20_000
	if n, err := strconv.Atoi(os.Getenv("WAYBILL_GROWTH")); err == nil {
		images = n
	}
	for _, tt := range []struct{ repositories, segment int }{{32, 500}, {2000, 500}, {32, 5}} {
		name := fmt.Sprintf("%d repositories, %d to a segment", tt.repositories, tt.segment)
		if tt.segment < 100 {
			images = images / 5
		}
		b.Run(name, func(b *testing.B) {
			for range b.N {
				grow(b, images, newGrower(b, tt.repositories, tt.segment))
			}
		})
	}
}

func grow(b *testing.B, images int, g *grower) {
	dir := os.Getenv("WAYBILL_GROWTH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	path := filepath.Join(dir, fmt.Sprintf("growth-%d.db", time.Now().UnixNano()))
	x := created(b, path)
	defer func() {
		if i, err := os.Stat(path); err == nil {
			b.Logf("%d bytes on disk for each push and pull", i.Size()/int64(max(1, g.pushed)))
		}
		for _, side := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(path + side)
		}
	}()
	for _, kind := range []string{"push", "pull"} {
		for tenth := range 10 {
			var sum spent
			slowest, n := time.Duration(0), images/10/g.segments
			for range n {
				var next block.Block
				if kind == "push" {
					next = g.pushes()
				} else {
					next = g.pulls()
				}
				from := spending(b)
				if err := x.Apply(b.Context(), next); err != nil {
					b.Fatal(err)
				}
				to := spending(b)
				sum.add(from, to)
				slowest = max(slowest, to.wall-from.wall)
			}
			n *= g.segments
			b.Logf("%s, tenth %d: %.1f us of a processor, %d bytes written, %.1f us in all; slowest block %s",
				kind, tenth+1, float64(sum.processor.Microseconds())/float64(n), sum.bytes/int64(n), float64(sum.wall.Microseconds())/float64(n), slowest.Round(time.Millisecond))
		}
	}
	g.ask(b, x)
}

// ask measures answers.
func (g *grower) ask(b *testing.B, x *Index) {
	page := func(f readmodel.HistoryFilter, p readmodel.Page) func(*Snapshot) error {
		return func(s *Snapshot) error { _, _, err := s.History(f, p); return err }
	}
	middle := func(f readmodel.HistoryFilter) string {
		filter := []string{"history", f.Digest.String(), string(f.Host), string(f.Repository), string(f.Tag)}
		return pager(readmodel.Page{NewestFirst: true}).next(Position{Block: uint64(g.pushed / g.segments / 2)}, filter...)
	}
	search := func(f readmodel.SearchFilter) func(*Snapshot) error {
		return func(s *Snapshot) error { _, _, err := s.Search(f, readmodel.Page{NewestFirst: true}); return err }
	}
	for _, question := range []struct {
		name string
		of   func(n int) func(*Snapshot) error
	}{
		{"verdict", func(n int) func(*Snapshot) error {
			return func(s *Snapshot) error {
				_, err := state.Ask(s, state.Subject{Stage: "production", Host: host, Repository: g.inRepository(n), Digest: g.image(n)}, time.Now())
				return err
			}
		}},
		{"verdict as of the middle", func(n int) func(*Snapshot) error {
			return func(s *Snapshot) error {
				then, err := s.asOf(s.Height / 2)
				if err == nil {
					_, err = state.Ask(then, state.Subject{Stage: "production", Host: host, Repository: g.inRepository(n), Digest: g.image(n)}, time.Now())
				}
				return err
			}
		}},
		{"images by the first digits", func(n int) func(*Snapshot) error {
			return func(s *Snapshot) error {
				found, err := s.FindImages(g.image(n).String()[7:17], "", "", 20)
				if err == nil && len(found) == 0 {
					return fmt.Errorf("image %d is not found", n)
				}
				return err
			}
		}},
		{"search of a repository by actor", func(n int) func(*Snapshot) error {
			return search(readmodel.SearchFilter{Repository: string(host) + "/" + string(g.inRepository(n)), Actor: "nobody"})
		}},
		{"search of everything by actor", func(int) func(*Snapshot) error { return search(readmodel.SearchFilter{Actor: "nobody"}) }},
		{"search of acts by text", func(int) func(*Snapshot) error { return search(readmodel.SearchFilter{Text: "CVE"}) }},
		{"events, the newest", func(int) func(*Snapshot) error {
			return func(s *Snapshot) error { _, _, err := s.Events("", 100, 100); return err }
		}},
		{"place and tag", func(n int) func(*Snapshot) error {
			return func(s *Snapshot) error {
				got, err := s.Get(state.PlaceKey(g.image(n), host, g.inRepository(n)), state.TagKey(host, g.inRepository(n), g.tag(n)))
				if err == nil && (got[0] == nil || got[1] == nil) {
					return fmt.Errorf("push %d is not there", n)
				}
				return err
			}
		}},
		{"history of an image", func(n int) func(*Snapshot) error {
			return page(readmodel.HistoryFilter{Digest: g.image(n), Host: host, Repository: g.inRepository(n)}, readmodel.Page{NewestFirst: true})
		}},
		{"history of a repository", func(n int) func(*Snapshot) error {
			return page(readmodel.HistoryFilter{Host: host, Repository: g.inRepository(n)}, readmodel.Page{NewestFirst: true})
		}},
		{"history of a repository, deep", func(n int) func(*Snapshot) error {
			f := readmodel.HistoryFilter{Host: host, Repository: g.inRepository(n)}
			return page(f, readmodel.Page{NewestFirst: true, Token: middle(f)})
		}},
		{"history of a tag", func(n int) func(*Snapshot) error {
			return page(readmodel.HistoryFilter{Host: host, Repository: g.inRepository(n), Tag: g.tag(n)}, readmodel.Page{NewestFirst: true})
		}},
		{"history of a tag, deep", func(n int) func(*Snapshot) error {
			f := readmodel.HistoryFilter{Host: host, Repository: g.inRepository(n), Tag: "latest"}
			return page(f, readmodel.Page{NewestFirst: true, Token: middle(f)})
		}},
		{"pulls of an image", func(n int) func(*Snapshot) error {
			return func(s *Snapshot) error {
				_, _, err := s.PullList(readmodel.PullFilter{Digest: g.image(n)}, readmodel.Page{})
				return err
			}
		}},
		{"count of pulls", func(n int) func(*Snapshot) error {
			return func(s *Snapshot) error { _, _, err := s.Pulls(g.image(n), host, g.inRepository(n)); return err }
		}},
	} {
		var took []time.Duration
		began := spending(b)
		for range 500 {
			ask := question.of(g.random.IntN(g.pushed))
			start := time.Now()
			if err := x.View(b.Context(), ask); err != nil {
				b.Fatal(question.name, err)
			}
			took = append(took, time.Since(start))
		}
		processor := (spending(b).processor - began.processor) / time.Duration(len(took))
		slices.Sort(took)
		b.Logf("%s: p50 %s, p99 %s, of a processor %s", question.name, took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond),
			processor.Round(10*time.Microsecond))
	}
}
