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
