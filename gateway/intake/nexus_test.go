package intake

import (
	"fmt"
	"slices"
	"testing"
)

// What Nexus says of images by their digest (children of an index, pushes without a
// tag), of components and assets, mixed: each upload is one push.
func TestNexusFloodOfOtherShapes(t *testing.T) {
	const digest = "sha256:ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12"
	type said struct {
		second        int
		what, action  string
		version, user string
	}
	flood := func(from int, of ...said) (out []said) {
		for i := range 10 {
			for _, s := range of {
				s.second, s.action, s.user = from+i, "UPDATED", "ci"
				if i == 0 {
					s.action = "CREATED"
				}
				out = append(out, s)
			}
		}
		return out
	}
	asset, component := said{what: "asset", version: digest}, said{what: "component", version: digest}
	tagged, listed := said{what: "asset", version: "1.4.0"}, said{what: "component", version: "1.4.0"}
	deleted := said{second: 12, what: "asset", action: "DELETED", version: digest, user: "*TASK"}
	for name, c := range map[string]struct {
		said []said
		want []string
	}{
		"tag, component and asset":    {flood(0, listed, tagged), []string{"push team-a/billing:1.4.0"}},
		"digest, component and asset": {flood(0, component, asset), []string{"push team-a/billing:"}},
		"tag and digest":              {flood(0, listed, asset), []string{"push team-a/billing:", "push team-a/billing:1.4.0"}},
		"deleted in between":          {append(append(flood(0, asset), deleted), flood(20, asset)...), []string{"push team-a/billing:", "push team-a/billing:"}}, // the fake registry serves it still: no deletion
		"by two people": {[]said{{0, "asset", "CREATED", digest, "ci"}, {1, "asset", "UPDATED", digest, "ci"}, {2, "asset", "UPDATED", digest, "ops"}, {3, "asset", "UPDATED", digest, "ops"}},
			[]string{"push team-a/billing:", "push team-a/billing:"}},
		"long after": {append(flood(0, asset), said{3599, "asset", "UPDATED", digest, "ci"}), []string{"push team-a/billing:", "push team-a/billing:"}},
	} {
		t.Run(name, func(t *testing.T) {
			var bodies [][]byte
			for _, s := range c.said {
				item := fmt.Sprintf(`"component":{"format":"docker","name":"team-a/billing","group":null,"version":%q}`, s.version)
				if s.what == "asset" {
					item = fmt.Sprintf(`"asset":{"format":"docker","name":"v2/team-a/billing/manifests/%s"}`, s.version)
				}
				bodies = append(bodies, fmt.Appendf(nil, `{"timestamp":"2026-03-02T09:%02d:%02d.000+00:00","nodeId":"n","initiator":"%s/10.2.3.4","repositoryName":"docker-hosted","action":%q,%s}`,
					s.second/60, s.second%60, s.user, s.action, item))
			}
			connector := told{Kind: KindNexus, Host: "nexus.example.net:8083", Prefixes: map[string]string{"docker-hosted": ""}}
			got, statuses := connector.recorded(t, bodies)
			if slices.Sort(got); !slices.Equal(got, c.want) || slices.ContainsFunc(statuses, func(s int) bool { return s != 200 }) {
				t.Errorf("recorded %q, want %q; answered %v", got, c.want, statuses)
			}
		})
	}
}
