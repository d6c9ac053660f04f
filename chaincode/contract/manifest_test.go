package contract

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// lying is the push of an image with claims that its manifest does not make.
func lying(content string, children ...provenance.Digest) provenance.Event {
	e := push("", content)
	e.MediaType, e.Children, e.Subject, e.ArtifactType, e.Size = manifest.OCIIndex, children, digestOf("somebody's"), "application/a-lie", 7
	return e
}

// TestClaimsAboutAManifestDecideNothing: who owns a registry released any image
// by saying that a released index lists it. What an index lists, what a
// referrer refers to and of which type it is stands in bytes that hash to the digest.
func TestClaimsAboutAManifestDecideNothing(t *testing.T) {
	l := network(t)
	l.record(push("", "victim"), lying("innocent", digestOf("victim")))
	l.release("innocent")
	expect(t, "listed by a claim", l.ask("victim", "staging"), policy.Pending, "promotion", policy.Unmet)
	for key := range l.state {
		if kind, a, _ := state.SplitKey(key); kind == state.TypeCarrier || kind == state.TypeParents {
			t.Errorf("a claim stands under %s %v", kind, a)
		}
	}
	var place state.Place
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "image:Get", host, repo, digestOf("innocent").String())), &place); err != nil {
		t.Fatal(err)
	}
	want, err := manifest.Read(bodies.of[digestOf("innocent")], "", digestOf("innocent"))
	if err != nil {
		t.Fatal(err)
	}
	if !place.Proven || place.MediaType != want.MediaType || place.Size != want.Size || place.Config != want.Config || !place.Subject.IsZero() || place.ArtifactType != "" || len(place.Children) > 0 {
		t.Errorf("a claim stands in the place: %+v", place)
	}
}

// TestWithoutItsBytesNothingIsReleased: an image of which no peer has seen the
// manifest is known by digest and tag, and no claim about it is anywhere.
func TestWithoutItsBytesNothingIsReleased(t *testing.T) {
	l := network(t)
	claim := lying("bare", digestOf("victim"))
	claim.Tag = "1.0"
	if _, _, err := l.segmentWith("gateway@VendorMSP", host, 1, nil, claim); err != nil {
		t.Fatal(err)
	}
	place := read[state.Place](l, state.PlaceKey(digestOf("bare"), host, repo))
	if place.Proven || place.MediaType != "" || place.Size != 0 || len(place.Children) > 0 || !place.Subject.IsZero() || place.ArtifactType != "" {
		t.Errorf("a claim stands in the place: %+v", place)
	}
	expect(t, "by its digest alone", l.ask("bare", "staging"), policy.Unknown, "recorded", policy.Violated)
	l.refused(provenance.NotFound, "publisher@VendorMSP", about("promotion:Request", "bare", "staging")...)

	prove := func(who, content string, body []byte) error {
		_, _, err := l.invoke(who, map[string][]byte{"manifest": body}, "record:Manifest", host, repo, digestOf(content).String())
		return err
	}
	body := bodies.of[digestOf("bare")]
	if err := prove("gateway@AuditMSP", "bare", append([]byte(" "), body...)); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("other bytes: %v", err)
	}
	if err := prove("gateway@AuditMSP", "never pushed", bodies.of[digestOf("never pushed")]); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("an image that nobody pushed: %v", err)
	}
	if err := prove("publisher@AuditMSP", "bare", body); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("by no gateway: %v", err)
	}
	if err := prove("gateway@AuditMSP", "bare", body); err != nil {
		t.Fatal(err)
	}
	expect(t, "proven by another organisation", l.ask("bare", "staging"), policy.Pending, "recorded", policy.Satisfied)
	if _, writes, err := l.invoke("gateway@PlatformMSP", map[string][]byte{"manifest": body}, "record:Manifest", host, repo, digestOf("bare").String()); err != nil || len(writes) > 0 {
		t.Errorf("proven again: %d writes, %v", len(writes), err)
	}
	l.release("bare")
}

// TestManifestsBesideASegment: what travels beside a segment is what was pushed
// in it, whole and within its bounds; what is no manifest proves nothing.
func TestManifestsBesideASegment(t *testing.T) {
	l := network(t)
	odd := []byte(`{"schemaVersion":1}`)
	nonsense := push("", "")
	nonsense.Digest, nonsense.ID = provenance.SHA256Of(odd), provenance.NewEventID("test", "odd")
	for name, manifests := range map[string][]byte{
		"of another image":    manifestsOf([]provenance.Event{push("", "other")}),
		"cut off":             manifestsOf([]provenance.Event{push("", "v1")})[:20],
		"a length for ever":   {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"longer than it says": {5, 'a'},
		"too many bytes":      make([]byte, provenance.MaxManifests+1),
	} {
		if _, writes, err := l.segmentWith("gateway@VendorMSP", host, 1, manifests, push("1.0", "v1")); provenance.CodeOf(err) != provenance.Invalid || len(writes) > 0 {
			t.Errorf("%s: %v, %d writes", name, err, len(writes))
		}
	}
	manifests := append([]byte{byte(len(odd))}, odd...)
	if _, _, err := l.segmentWith("gateway@VendorMSP", host, 1, append(manifests, manifestsOf([]provenance.Event{push("", "v1")})...), push("1.0", "v1"), nonsense); err != nil {
		t.Fatal(err)
	}
	if p := read[state.Place](l, state.PlaceKey(nonsense.Digest, host, repo)); p.Proven {
		t.Errorf("no manifest, and it proves: %+v", p)
	}
	if p := read[state.Place](l, state.PlaceKey(digestOf("v1"), host, repo)); !p.Proven {
		t.Errorf("its neighbour: %+v", p)
	}
}

// TestLongDigestsCostNoMore: a manifest beside a segment is hashed once for each
// algorithm, and not once for each digest that was pushed.
func TestLongDigestsCostNoMore(t *testing.T) {
	l := network(t)
	var events, short []provenance.Event
	var manifests []byte
	for i := range 2000 {
		short = append(short, push("", fmt.Sprint("long ", i)))
		body := bytes.Clone(bodies.of[digestOf(fmt.Sprint("long ", i))])
		sum := sha512.Sum512(body)
		d, err := provenance.DigestOfHash(sum[:])
		if err != nil {
			t.Fatal(err)
		}
		e := push("", fmt.Sprint("long ", i))
		e.Digest = d
		events = append(events, e)
		manifests = append(binary.AppendUvarint(manifests, uint64(len(body))), body...)
	}
	took := func(seq int, manifests []byte, events []provenance.Event) time.Duration {
		t.Helper()
		begun := time.Now()
		if _, _, err := l.segmentWith("gateway@VendorMSP", host, seq, manifests, events...); err != nil {
			t.Fatal(err)
		}
		return time.Since(begun)
	}
	ordinary := took(1, manifestsOf(short), short)
	if long := took(2, manifests, events); long > 20*ordinary+time.Second {
		t.Errorf("2,000 manifests of long digests took %s, of ordinary ones %s", long, ordinary)
	}
	var p state.Place
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "image:Get", host, repo, events[7].Digest.String())), &p); err != nil || !p.Proven {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestAProvenIndexNotesWhatItLists: there may be evidence about an image that a
// registry never reported by itself, however late the bytes of its index came.
func TestAProvenIndexNotesWhatItLists(t *testing.T) {
	l := network(t)
	multi := index("multi", digestOf("amd64"))
	if _, _, err := l.segmentWith("gateway@VendorMSP", host, 1, nil, multi); err != nil {
		t.Fatal(err)
	}
	about := brought{"scanner@SecurityMSP", "amd64", "", "plain", "", "", stated("amd64", "vuln-scan", scanned(0), "")}
	if _, _, err := l.bring(about); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("before anybody saw the bytes: %v", err)
	}
	if _, _, err := l.invoke("gateway@AuditMSP", map[string][]byte{"manifest": bodies.of[multi.Digest]}, "record:Manifest", host, repo, multi.Digest.String()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.bring(about); err != nil {
		t.Errorf("listed by an index that is proven: %v", err)
	}
}
