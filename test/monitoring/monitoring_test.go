// Package monitoring reads the alert rules and the dashboard with Prometheus's own libraries, and holds every metric in
// them to what is served.
package monitoring

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// served are the names of all metrics: the gateway's, from where they are made, and Fabric's, from its reference.
func served(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{"up": true}
	source, err := os.ReadFile("../../gateway/metrics/metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`"(waybill_[a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		all[m[1]] = true
	}
	fabric, err := os.ReadFile("testdata/fabric.txt")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(fabric)) {
		all[name] = true
	}
	if len(all) < 30 {
		t.Fatalf("only %d metrics are known", len(all))
	}
	return all
}

// check parses an expression and looks up its metrics.
func check(t *testing.T, known map[string]bool, where, expr string) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %s: %v", where, expr, err)
		return
	}
	found := 0
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		found++
		name := s.Name
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if base := strings.TrimSuffix(name, suffix); known[base] {
				name = base
			}
		}
		if !known[name] {
			t.Errorf("%s: nobody serves %s", where, s.Name)
		}
		return nil
	})
	if found == 0 {
		t.Errorf("%s: %s asks for nothing", where, expr)
	}
}

func TestAlertRules(t *testing.T) {
	known := served(t)
	raw, err := os.ReadFile("../../deploy/monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(raw, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	page, err := os.ReadFile("../../docs/operate/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			rules++
			check(t, known, r.Alert, r.Expr)
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s does not say how bad it is, or what to do", r.Alert)
			}
			if !strings.Contains(string(page), "| "+r.Alert+" |") {
				t.Errorf("docs/operate/monitoring.md does not explain %s", r.Alert)
			}
		}
	}
	if rules < 10 {
		t.Errorf("%d rules", rules)
	}
}

func TestDashboard(t *testing.T) {
	known := served(t)
	raw, err := os.ReadFile("../../deploy/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID    string
		Panels []struct {
			ID                 int
			Title, Description string
			GridPos            struct{ X, Y, W, H int }
			Targets            []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 10 || d.UID == "" {
		t.Fatalf("%d panels, %q", len(d.Panels), d.UID)
	}
	place := map[[2]int]bool{}
	for _, p := range d.Panels {
		if p.Description == "" || len(p.Targets) == 0 || place[[2]int{p.GridPos.X, p.GridPos.Y}] {
			t.Errorf("panel %q says nothing, shows nothing, or lies on another", p.Title)
		}
		place[[2]int{p.GridPos.X, p.GridPos.Y}] = true
		for _, target := range p.Targets {
			check(t, known, p.Title, strings.ReplaceAll(target.Expr, "$instance", ".*"))
		}
	}
}
