package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// kind is what an event does to the ledger.
type kind string

const (
	newTag   kind = "new"   // a new image under a tag that was not there
	movedTag kind = "moved" // a new image under a tag that named another
	pulled   kind = "pull"  // an image that was recorded is pulled
)

// streams are the tags that a repository's builds move again and again, the most
// often moved first. How often is read off moveOf.
func streams() []string { return []string{"latest", "main", "edge", "v1", "v1.4", "v2"} }

const (
	pullRecent = 0.8 // of pulls are of recent images, the newest most often; the others of any
	pullZipf   = 1.1
	fillers    = 4
)

// load makes the events of a growing registry. All it draws comes from one seed.
type load struct {
	host     provenance.Host
	repos    int
	streams  int     // how many a repository has
	streamed float64 // the share of moves that move one of them; the others move a tag for the first and last time
	rand     *rand.Rand
	run      string // event ids differ from run to run

	repoOf  []uint16 // of each image recorded so far
	tags    int      // new ones so far
	unmoved []uint32 // images whose own tag names them still
	serial  int
}

func newLoad(host string, repos, firstNew int, streamed float64) (*load, error) {
	l := &load{
		host: provenance.Host(host), repos: repos, streams: min(len(streams()), firstNew/2/max(1, repos)), streamed: streamed,
		rand: rand.New(rand.NewPCG(12, uint64(repos))), run: strconv.FormatInt(time.Now().UnixNano(), 36), //nolint:gosec // a workload, not a secret
	}
	if repos < 1 || repos > 1<<16 || streamed < 0 || streamed > 1 {
		return nil, fmt.Errorf("want 1 to %d repositories and a share of 0 to 1, not %d and %g", 1<<16, repos, streamed)
	}
	if l.streams < 1 {
		return nil, fmt.Errorf("%d new tags in the first part are too few for %d repositories with a tag each that moves", firstNew, repos)
	}
	return l, nil
}

func (l *load) images() int { return len(l.repoOf) }

func repoName(i int) provenance.Repository {
	return provenance.Repository("bench/growth-" + strconv.Itoa(i))
}

func imageDigest(i int) provenance.Digest {
	return provenance.SHA256Of(fmt.Appendf(nil, "image %d", i))
}

// reference names an image by its digest, as people do.
func (l *load) reference(image int) string {
	return fmt.Sprintf("%s/%s@%s", l.host, repoName(int(l.repoOf[image])), imageDigest(image))
}

func ownTag(image int) provenance.Tag { return provenance.Tag("b" + strconv.Itoa(image)) }

// next is the next event of a kind.
func (l *load) next(k kind) provenance.Event {
	l.serial++
	e := provenance.Event{
		ID: provenance.NewEventID("bench", "growth", l.run, strconv.Itoa(l.serial)), Action: provenance.Push, Source: "distribution", Actor: "ci", OccurredAt: time.Now(),
	}
	image, repo := l.images(), 0
	switch k {
	case newTag:
		if l.tags < l.streams*l.repos { // those that move come first
			repo, e.Tag = l.tags%l.repos, provenance.Tag(streams()[l.tags/l.repos])
		} else {
			repo, e.Tag = image%l.repos, ownTag(image)
			l.unmoved = append(l.unmoved, uint32(image))
		}
		l.tags++
	case movedTag:
		repo, e.Tag = l.moveOf()
	case pulled:
		image = l.pulledImage()
		e.Action, e.Repository, e.Digest = provenance.Pull, repoName(int(l.repoOf[image])), imageDigest(image)
		return e
	}
	l.repoOf = append(l.repoOf, uint16(repo))
	e.Repository, e.Digest, e.MediaType, e.Size = repoName(repo), imageDigest(image), "application/vnd.oci.image.manifest.v1+json", 1187
	return e
}

// moveOf picks a tag that names an image already.
func (l *load) moveOf() (repo int, tag provenance.Tag) {
	if len(l.unmoved) > 0 && l.rand.Float64() >= l.streamed {
		at, last := l.rand.IntN(len(l.unmoved)), len(l.unmoved)-1
		image := int(l.unmoved[at])
		l.unmoved[at], l.unmoved = l.unmoved[last], l.unmoved[:last]
		return int(l.repoOf[image]), ownTag(image)
	}
	which := 0 // each half as often as the one before it
	for which < l.streams-1 && l.rand.IntN(2) == 0 {
		which++
	}
	return l.rand.IntN(l.repos), provenance.Tag(streams()[which])
}

func (l *load) pulledImage() int {
	n := l.images()
	if l.rand.Float64() >= pullRecent {
		return l.rand.IntN(n)
	}
	return n - 1 - int(rand.NewZipf(l.rand, pullZipf, 1, uint64(n-1)).Uint64())
}

// fill puts n events of a kind into a queue, several callers at once so that they
// share its commits.
func (l *load) fill(ctx context.Context, q *queue.Queue, k kind, n int) error {
	batches := make(chan []delivery.Delivery, fillers)
	group, ctx := errgroup.WithContext(ctx)
	for range fillers {
		group.Go(func() error {
			for batch := range batches {
				if _, err := q.Accept(ctx, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(batches)
		for done := 0; done < n; {
			batch := make([]delivery.Delivery, min(queue.MaxDeliveries, n-done))
			for i := range batch {
				batch[i] = delivery.Delivery{Host: l.host, Connector: "main", Event: l.next(k), ReceivedAt: time.Now()}
			}
			done += len(batch)
			select {
			case batches <- batch:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return group.Wait()
}
