package intake

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// plainLine is a line of a guide as it would be read out: no markup, no comment.
func plainLine(line string) string {
	line = strings.TrimSpace(line)
	if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| ") && len(cells) == 2 {
		line = strings.NewReplacer("`", "", "*", "").Replace(strings.Trim(cells[0], "| ") + ": " + strings.Trim(cells[1], "| "))
	}
	return strings.TrimSuffix(line, ",")
}

// What the gateway tells an operator to paste is what the kind's guide says.
func TestSettingsAreTheGuides(t *testing.T) {
	name := regexp.MustCompile(`gateway\.example\.net/hooks/([a-z]+)`)
	for _, kind := range Kinds() {
		guide, err := os.ReadFile(filepath.Join("../../docs/guides", kind+".md"))
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]bool{}
		for line := range strings.Lines(string(guide)) {
			said[plainLine(line)] = true
		}
		c := connectorOf(t, kind)
		c.Name = name.FindStringSubmatch(string(guide))[1]
		c.OIDC.Audience = "https://gateway.example.net/hooks/" + c.Name
		text := Settings(c, "https://gateway.example.net/")
		if !strings.Contains(text, "https://gateway.example.net/hooks/"+c.Name) || strings.Contains(text, secretA) {
			t.Errorf("%s: %s", kind, text)
		}
		for line := range strings.Lines(text) {
			if !said[plainLine(line)] {
				t.Errorf("%s.md does not say: %s", kind, line)
			}
		}
	}
	if Settings(Connector{Kind: "harbour"}, "https://gateway.example.net") != "" {
		t.Error("settings for a kind that is not there")
	}
}
