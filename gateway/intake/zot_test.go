package intake

import (
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// zot's default source is what every zot says that was not told otherwise, and all that
// versions up to 2.1.20 can say: a connector with origins takes it, and no other one.
func TestZotSources(t *testing.T) {
	c := connectorOf(t, KindZot)
	raw, header := load(t, KindZot, "push-default-source")
	for source, want := range map[string]provenance.Code{
		"zotregistry.dev": "", "https://zot.example.net": "", "https://other.example.net": provenance.Forbidden,
		"zotregistry.dev.example.net": provenance.Forbidden, "ZOTREGISTRY.dev": provenance.Forbidden,
	} {
		c.Origins = []string{"https://zot.example.net"}
		header.Set("Ce-Source", source)
		b, err := parseZot(messageOf(&c, raw, header))
		if provenance.CodeOf(err) != want || (len(b.events) == 1) != (want == "") {
			t.Errorf("source %s: %d events, %v; want %q", source, len(b.events), err, want)
		}
	}
}
