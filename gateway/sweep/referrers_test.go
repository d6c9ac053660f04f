package sweep

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// listReferrers lets the registry answer as zot does: with what refers to a
// subject, and no tag for any of it. Without a list it has no such API.
func (b *bench) listReferrers(subject provenance.Digest, lists func() (status int, entries string)) {
	b.answer = func(w http.ResponseWriter, r *http.Request) bool {
		_, of, ok := strings.Cut(r.URL.Path, "/referrers/")
		if !ok {
			return false
		}
		status, entries := lists()
		if of != subject.String() {
			entries = ""
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}`, entries)
		return true
	}
}

func (b *bench) asked(part string) (n int) {
	for _, r := range b.requests {
		if strings.Contains(r, part) {
			n++
		}
	}
	return n
}

// A signature without a tag is in no list of tags.
func TestSweepFindsReferrers(t *testing.T) {
	b := newBench(t)
	image := b.known("team/app", "1.0", "a")
	signature := strings.TrimSuffix(imageNamed("signature"), "}") + fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":7}}`, manifestType, image)
	d := b.push("team/app", "", signature)
	restored := b.known("team/app", "", "restored")
	b.record(provenance.Event{Action: provenance.Delete, Repository: "team/app", Digest: restored})
	entry := func(d provenance.Digest) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7}`, manifestType, d)
	}
	// One that is listed and not there is no finding.
	entries := strings.Join([]string{entry(d), entry(d), entry(restored), entry(provenance.SHA256Of([]byte("nowhere")))}, ",")
	b.listReferrers(image, func() (int, string) { return http.StatusOK, entries })

	run := b.swept(b.sweeper(nil), false)
	want := []string{"restored team/app queued", "unrecorded team/app queued"}
	if diff := cmp.Diff(want, found(run)); diff != "" || run.Error != "" {
		t.Errorf("sweep %q (-want +got):\n%s", run.Error, diff)
	}
	at := slices.IndexFunc(b.events, func(e provenance.Event) bool { return e.Digest == d })
	if len(b.events) != 2 || b.events[at].Subject != image || b.events[at].Tag != "" || run.Findings[0].Detail != "refers to "+image.Short() {
		t.Errorf("events %+v, findings %+v", b.events, run.Findings)
	}
	if run = b.swept(b.sweeper(nil), false); len(run.Findings) != 0 || len(b.events) != 2 {
		t.Errorf("a second sweep found %v", found(run))
	}
}

// A registry that lists no referrers is not asked for each of its images.
func TestSweepWithoutReferrers(t *testing.T) {
	for status, want := range map[int]int{http.StatusNotFound: 1, http.StatusBadRequest: maxUnlisted} {
		b := newBench(t)
		for i := range 5 {
			b.known("team/app", "", fmt.Sprint(i))
		}
		b.listReferrers(provenance.Digest{}, func() (int, string) { return status, "" })
		run := b.swept(b.sweeper(nil), false)
		if got := b.asked("/referrers/"); got != want || len(run.Findings) != 0 || run.Error != "" {
			t.Errorf("status %d: asked %d times, want %d; found %v, %s", status, got, want, found(run), run.Error)
		}
		if noted := len(run.Notes) > 0; noted != (status != http.StatusNotFound) {
			t.Errorf("status %d: notes %q", status, run.Notes)
		}
	}
}

// Whoever may push beside an image can make its list long, or one that cannot be
// read. That is said of this image, and keeps nobody else's signatures out.
func TestSweepFloodedReferrers(t *testing.T) {
	b := newBench(t)
	for i := range 2 * maxUnlisted { // in the order of their digests, so that some come before the other one
		b.known("team/app", "", fmt.Sprint(i))
	}
	image := b.known("team/app", "1.0", "a")
	d := b.push("team/app", "", strings.TrimSuffix(imageNamed("signature"), "}")+fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":7}}`, manifestType, image))
	entry := func(d provenance.Digest) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7}`, manifestType, d)
	}
	many := make([]string, 300)
	for i := range many {
		many[i] = entry(provenance.SHA256Of(fmt.Append(nil, i)))
	}
	b.answer = func(w http.ResponseWriter, r *http.Request) bool {
		_, of, ok := strings.Cut(r.URL.Path, "/referrers/")
		if !ok {
			return false
		}
		entries := `{"digest":"md5:no such"}`
		if of == image.String() {
			entries = strings.Join(append(many, entry(d)), ",")
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}`, entries)
		return true
	}
	run := b.swept(b.sweeper(nil), false)
	if !slices.ContainsFunc(b.events, func(e provenance.Event) bool { return e.Digest == d }) {
		t.Errorf("the signature behind %d others was not found: %v, %s", len(many), found(run), run.Error)
	}
	if len(run.Notes) != 2*maxUnlisted {
		t.Errorf("notes %q", run.Notes)
	}
}
