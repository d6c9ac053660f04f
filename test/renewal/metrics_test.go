package renewal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/test/lab"
)

// rare are metrics of rules and panels that a page has once what they count has happened, which a healthy network does not
// bring about.
func rare() []string {
	return []string{
		"chaincode_execute_timeouts", "endorser_proposal_simulation_failures", // a contract that does not answer, or refuses
		"waybill_witness_total", // no policy asks for a witness here
	}
}

// monitored holds every metric of the alert rules and the dashboard to what the organisation's nodes serve while they work.
func monitored(t *testing.T, ctx context.Context, o organisation) {
	t.Helper()
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	listen := o.Spec().Listen
	for _, address := range []string{listen.GatewayMetrics, listen.PeerOperations, listen.OrdererOperations} {
		names, err := page(ctx, "http://"+address+"/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			served[name] = true
		}
	}
	for _, name := range rare() {
		served[name] = true
	}
	asked := regexp.MustCompile(`\b(?:waybill|ledger|gossip|consensus|endorser|chaincode|cluster|broadcast|participation|deliver|grpc)_[A-Za-z_]+`)
	found := 0
	for _, file := range []string{"alerts.yaml", "dashboard.json"} {
		raw, err := os.ReadFile(filepath.Join(root, "deploy", "monitoring", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(raw), "\n") {
			if !strings.Contains(line, "expr") {
				continue
			}
			for _, name := range asked.FindAllString(line, -1) {
				if found++; !served[name] {
					t.Errorf("%s asks for %s, which no node of %s serves", file, name, o.Spec().Name)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("%d metrics were looked up", found)
	}
}

// page returns the names of the series that are served.
func page(ctx context.Context, url string) (names []string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read from
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if name, _, ok := strings.Cut(strings.ReplaceAll(lines.Text(), "{", " "), " "); ok && name != "#" {
			names = append(names, name)
		}
	}
	return names, lines.Err()
}

// certificateMetrics reads the seconds left by use, of the vendor.
func certificateMetrics(body io.Reader) map[string]float64 {
	out := map[string]float64{}
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		var value float64
		labels, rest, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "waybill_certificate_seconds_left{"), "} ")
		if !ok || labels == lines.Text() || !strings.Contains(labels, `org="VendorMSP"`) {
			continue
		}
		if _, err := fmt.Sscan(rest, &value); err != nil {
			continue
		}
		_, use, _ := strings.Cut(labels, `use="`)
		use, _, _ = strings.Cut(use, `"`)
		out[use] = value
	}
	return out
}
