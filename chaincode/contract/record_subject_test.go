package contract

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// artifact is the push of something that says in its manifest that it is about an image.
func artifact(name string, subject provenance.Digest) provenance.Event {
	body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.in-toto+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":7},"annotations":{"name":%q}}`,
		manifest.OCIManifest, provenance.SHA256Of([]byte("{}")), manifest.OCIManifest, subject, name)
	d := provenance.SHA256Of(body)
	bodies.Lock()
	bodies.of[d], bodies.named[name] = body, d
	bodies.Unlock()
	e := push("", name)
	e.Subject = subject
	return e
}

// Every push into a repository changes its directory. Evidence about an image follows the
// push of an artifact about it, and more of these: if it read the directory, the second
// artifact would make the evidence of the first invalid.
func TestEvidenceOfAnArtifactReadsNoDirectory(t *testing.T) {
	l := network(t)
	key := l.key("SecurityMSP", "scan", "")
	others := 0
	beside := func(events ...provenance.Event) []provenance.Event { // so many that they share pages
		for range 64 {
			others++
			events = append(events, push(fmt.Sprint("m", others), fmt.Sprint("beside-", others)))
		}
		return events
	}
	tagged := func(content, suffix string) provenance.Event {
		return push(strings.Replace(digestOf(content).String(), ":", "-", 1)+suffix, "signature of "+content)
	}
	seq := 0
	record := func(events ...provenance.Event) {
		if _, _, err := l.segment("gateway@VendorMSP", host, seq, events...); err != nil {
			t.Fatal(err)
		}
		seq++
	}
	record(beside(push("1.0", "with its artifact"), artifact("a1", digestOf("with its artifact")))...)
	record(beside(push("2.0", "before its artifact"), push("3.0", "before its signature"), push("4.0", "before a single one"), push("", "without any"))...)
	record(beside(artifact("a2", digestOf("before its artifact")), tagged("before its signature", ".att"))...)
	record(artifact("a3", digestOf("before a single one")))
	record(beside(artifact("a4", digestOf("never pushed")))...)
	for content, own := range map[string]bool{
		"with its artifact": true, "before its artifact": true, "before its signature": true, "before a single one": true,
		"without any": false, "never pushed": false, "beside-3": false, "a1": false,
	} {
		place := state.PlaceKey(digestOf(content), host, repo)
		if got := l.state[place] != nil; got != own {
			t.Errorf("%s has a key of its own: %t", content, got)
		}
		l.asked = nil
		outcomes, _, err := l.batch("gateway@VendorMSP",
			piece(content, "dsse", "SecurityMSP", "scan", signed(t, stated(content, "vuln-scan", scanned(0), ""), key)),
			piece(content, "dsse", "SecurityMSP", "scan", signed(t, stated(content, "test-result", tested("PASSED"), ""), key)))
		if err != nil || (outcomes[0].Err() == nil) != (content != "never pushed") {
			t.Fatalf("%s: %+v, %v", content, outcomes, err)
		}
		reads := slices.ContainsFunc(l.asked, func(k string) bool {
			kind, _, _ := state.SplitKey(k)
			return kind == state.TypeDirectory || kind == state.TypeRun || kind == state.TypePage
		})
		if reads == own {
			t.Errorf("evidence about %q read the directory: %t", content, reads)
		}
	}
	// What it was is what it is: its tag, its facts, and that it is deleted.
	gone := push("", "before its artifact")
	gone.Action, gone.MediaType, gone.Size, gone.Actor = provenance.Delete, "", 0, ""
	gone.ID = provenance.NewEventID("test", "gone")
	record(gone)
	record(beside(artifact("a5", digestOf("before its artifact")))...)
	out := l.do("auditor@AuditMSP", "image:Get", host, repo, digestOf("before its artifact").String())
	for _, want := range []string{`"2.0"`, `"deleted":true`, provenance.SHA256Of([]byte("before its artifact")).String()} {
		if !strings.Contains(out, want) {
			t.Errorf("after its artifact it is %s, without %s", out, want)
		}
	}
}
