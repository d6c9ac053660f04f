package intake

import (
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// A registry may have a domain name label: its host is then its name, a '-' and a
// hash, and the resource that events are about is still named without the hash.
func TestEventGridHosts(t *testing.T) {
	const acme = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/acme"
	for _, c := range []struct {
		host         provenance.Host
		topic, asked string
		want         bool
	}{
		{"acme.azurecr.io", acme, "", true},
		{"acme.azurecr.io", acme, "acme.azurecr.io", true},
		{"acme.azurecr.io", "/REGISTRIES/other", "", true}, // Event Grid keeps the resource's own spelling; this one tells nothing
		{"acme.azurecr.io", acme + "2", "", false},
		{"acme.azurecr.cn", acme + "2", "", false},
		{"acme.azurecr.us", acme, "", true},
		{"acme-e7ggejfuhzhgedc8.azurecr.io", acme, "acme-e7ggejfuhzhgedc8.azurecr.io", true},
		{"acme-e7ggejfuhzhgedc8.azurecr.io", acme, "ACME-E7GGEJFUHZHGEDC8.azurecr.io", true},
		{"acme-e7ggejfuhzhgedc8.azurecr.io", acme, "", true},
		{"acme-e7ggejfuhzhgedc8.azurecr.io", acme, "acme-e7ggejfuhzhgedc8.westeurope.geo.azurecr.io", true},
		{"acme-e7ggejfuhzhgedc8.azurecr.io", acme, "acme-aaaaaaaaaaaaaaaa.azurecr.io", false}, // its namesake in another group
		{"acme-e7ggejfuhzhgedc8.azurecr.io", acme, "acme.azurecr.io", false},
		{"acme-e7ggejfuhzhgedc8.azurecr.io", acme, "edge.example.net", true}, // a connected registry
		{"acme-e7ggejfuhzhgedc8.azurecr.cn", acme, "acme-e7ggejfuhzhgedc8.azurecr.cn", true},
		{"acme-e7ggejfuhzhgedc8.azurecr.io", acme + "e", "acme-e7ggejfuhzhgedc8.azurecr.io", false},
		{"images.example.net", acme, "acme.azurecr.io", true}, // a proxy: nothing to compare
	} {
		if got := isACRHost(c.host, c.topic, c.asked); got != c.want {
			t.Errorf("host %s, topic %s, asked as %q: %v, want %v", c.host, c.topic, c.asked, got, c.want)
		}
	}
}
