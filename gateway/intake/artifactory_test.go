package intake

import "testing"

// The repository is the path's, and the allow-list is asked about that: with the last
// part alone, who may speak of team-a/billing could speak of team-b/billing as well.
func TestArtifactoryAllowList(t *testing.T) {
	c := connectorOf(t, KindArtifactory)
	raw, header := load(t, KindArtifactory, "push-nested") // docker-prod-local/team-a/backend/billing
	b, err := parseArtifactory(messageOf(&c, raw, header))
	if err != nil || len(b.events) != 1 {
		t.Fatalf("%d events, %v", len(b.events), err)
	}
	for pattern, want := range map[string]bool{
		"docker-prod-local/team-a/**": true, "docker-prod-local/**": true, "docker-prod-local/team-a/backend/billing": true,
		"docker-prod-local/billing": false, "docker-prod-local/*": false, "billing": false, "docker-prod-local/team-b/**": false,
	} {
		c.Repositories = []string{pattern}
		s, err := newEndpoint(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.allows(b.events[0].Repository); got != want {
			t.Errorf("%s: %v for %s, want %v", pattern, got, b.events[0].Repository, want)
		}
	}
}

// Whoever may push chooses the tag: none hides where the image is.
func TestArtifactoryPaths(t *testing.T) {
	for _, c := range []struct{ path, tag, image, reference string }{
		{"team/app/1.0/manifest.json", "1.0", "team/app", "1.0"},
		{"team/app/1.0/list.manifest.json", "1.0", "team/app", "1.0"},
		{"team/app/1.0", "1.0", "team/app", "1.0"},
		{"team/app/1.0/", "1.0", "team/app", "1.0"},
		{"team/app/1.0/manifest.json", "", "team/app", "1.0"},
		{"app/1.0/manifest.json", "1.0", "app", "1.0"},
		{"team/app/manifest.json/manifest.json", "manifest.json", "team/app", "manifest.json"},
		{"team/app/manifest.json", "manifest.json", "team/app", "manifest.json"},
		{"team/app/manifest.json/list.manifest.json", "manifest.json", "team/app", "manifest.json"},
		{"team/manifest.json/1.0/manifest.json", "1.0", "team/manifest.json", "1.0"},
		{"app/app/manifest.json", "app", "app", "app"},
		{"1.0/1.0/1.0/manifest.json", "1.0", "1.0/1.0", "1.0"},
	} {
		image, reference, err := artifactoryData{Path: c.path, Tag: c.tag}.image()
		if err != nil || image.text != c.image || reference.text != c.reference {
			t.Errorf("%s, tag %q: %q %q, %v; want %q %q", c.path, c.tag, image.text, reference.text, err, c.image, c.reference)
		}
	}
	for _, path := range []string{"manifest.json", "1.0/manifest.json", "1.0", "/1.0", "/", "//manifest.json"} {
		if image, _, err := (artifactoryData{Path: path, Tag: "1.0"}).image(); err == nil && image.text != "" {
			t.Errorf("%q is the path of image %q", path, image.text)
		}
	}
}
