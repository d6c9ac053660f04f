package api_test

import "testing"

// B19: where a reference has a tag and a digest, the digest decides, whatever
// the tag names.
func TestDigestDecides(t *testing.T) {
	g := start(t, nil)
	s := g.ledger()
	g.release(s)
	c := g.client(g.audit.issue("auditor", soon()))
	const app = "reg.example:5000/team/app"
	for image, want := range map[string]string{
		app + ":1.0": "allowed", app + ":1.0@" + s.Digest.String(): "allowed", app + ":never-pushed@" + s.Digest.String(): "allowed",
		app + ":1.0@" + digest("another").String(): "unknown",
	} {
		v, err := c.GetVerdict(t.Context(), image, "production")
		if err != nil || v.GetVerdict() != want {
			t.Errorf("%s: %s, %v; want %s", image, v.GetVerdict(), err, want)
		}
	}
}
