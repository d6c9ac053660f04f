package sweep

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Registries send nothing when a tag is made or removed by hand, when an image comes by
// replication or into a proxy cache, when a project or namespace is renamed, or when a
// whole repository goes. The next sweep of the schedule records each of it.
func TestUnreportedIsFoundWithinThePeriod(t *testing.T) {
	const every = 300 * time.Millisecond
	b := newBench(t)
	tagged := b.known("team/app", "1.0", "a")
	b.known("team/app", "old", "b")
	moved := b.known("group/app", "1.0", "c")
	gone := b.known("team/whole", "1.0", "d")
	s := b.sweeper(func(s *Sweeper) { s.Config.Every = every })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	// finishedSince waits for the end of a sweep that began after a moment.
	finishedSince := func(at time.Time) (started time.Time) {
		waitFor(t, func() (string, bool) {
			for _, one := range s.List(ctx) {
				if one.Last != nil && one.Last.Started.After(at) {
					started = one.Last.Started
					return "", true
				}
			}
			return "", false
		})
		return started
	}
	finishedSince(time.Time{})

	b.push("team/app", "1.0.1", imageNamed("a"))                // a second tag, made by hand
	b.do(http.MethodDelete, "team/app/manifests/old", "")       // one removed by hand
	platform := b.push("team/replica", "", imageNamed("amd64")) // an index that was replicated
	index := b.push("team/replica", "2.0", fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, manifestType, platform, len(imageNamed("amd64"))))
	cached := b.push("proxy/library/alpine", "3.20", imageNamed("alpine")) // a proxy cache, after a pull
	b.push("renamed/app", "1.0", imageNamed("c"))                          // group is renamed
	b.do(http.MethodDelete, "group/app/manifests/1.0", "")
	b.do(http.MethodDelete, "group/app/manifests/"+moved.String(), "")
	b.do(http.MethodDelete, "team/whole/manifests/1.0", "")
	b.do(http.MethodDelete, "team/whole/manifests/"+gone.String(), "") // a repository is deleted
	changed := time.Now().UTC()
	started := finishedSince(changed)
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if late := started.Sub(changed) - every; late > 20*every { // a busy machine is late, not never
		t.Errorf("the sweep that saw it began %s after the period", late)
	}
	var got []string
	for _, e := range b.events {
		got = append(got, fmt.Sprintf("%s %s:%s %s", e.Action, e.Repository, e.Tag, e.Digest.Short()))
	}
	slices.Sort(got)
	none := provenance.Digest{}.Short()
	want := []string{
		"delete group/app: " + moved.Short(), "delete team/whole: " + gone.Short(),
		"push proxy/library/alpine:3.20 " + cached.Short(), "push renamed/app:1.0 " + moved.Short(), "push team/app:1.0.1 " + tagged.Short(),
		"push team/replica: " + platform.Short(), "push team/replica:2.0 " + index.Short(),
		"tag-delete group/app:1.0 " + none, "tag-delete team/app:old " + none, "tag-delete team/whole:1.0 " + none,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}
