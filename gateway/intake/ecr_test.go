package intake

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Every form of a registry's host says whose it is, and another account's or region's
// events are never ours. A host that looks like Amazon's and says nothing of the kind
// is refused, and any other one says it by origins.
func TestECRHosts(t *testing.T) {
	const account, region = "111122223333", "eu-west-1"
	for host, at := range map[string]string{
		account + ".dkr.ecr.eu-west-1.amazonaws.com":                    region,
		account + ".dkr.ecr.eu-west-1.amazonaws.com:443":                region,
		account + ".dkr.ecr-fips.us-gov-west-1.amazonaws.com":           "us-gov-west-1",
		account + ".dkr-ecr.us-west-2.on.aws":                           "us-west-2",
		account + ".dkr-ecr-fips.us-west-2.on.aws":                      "us-west-2",
		account + ".dkr.ecr.cn-north-1.amazonaws.com.cn":                "cn-north-1",
		account + ".dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn": "cn-northwest-1",
		account + ".dkr.ecr.eusc-de-east-1.amazonaws.eu":                "eusc-de-east-1",
		account + ".dkr.ecr.us-iso-east-1.c2s.ic.gov":                   "us-iso-east-1",
		account + ".dkr.ecr.us-isob-east-1.sc2s.sgov.gov":               "us-isob-east-1",
		account + ".dkr.ecr.ap-southeast-2.amazonaws.com":               "ap-southeast-2",
		account + ".dkr.ecr-fips.us-east-1.amazonaws.com":               "us-east-1",
		account + ".dkr-ecr.eu-isoe-west-1.cloud.adc-e.uk":              "eu-isoe-west-1",
	} {
		c := connectorOf(t, KindECR)
		c.Host = provenance.Host(host)
		if _, err := newEndpoint(c, 1); err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		for _, of := range []struct {
			account, region string
			want            bool
		}{{account, at, true}, {"999999999999", at, false}, {account, "sa-east-1", false}, {"", "", false}, {account, "", false}} {
			if got := c.isOfAccount(of.account, of.region); got != of.want {
				t.Errorf("%s: events of %s in %s: %v, want %v", host, of.account, of.region, got, of.want)
			}
		}
		c.Origins = []string{account + "/" + at}
		if _, err := newEndpoint(c, 1); err == nil {
			t.Errorf("%s takes origins beside what the host says", host)
		}
	}
	for _, host := range []string{
		"11112222333.dkr.ecr.eu-west-1.amazonaws.com", "acme.dkr.ecr.eu-west-1.amazonaws.com", account + ".dkr.ecr.amazonaws.com",
		account + ".dkr.ecr.eu-west-1.example.com", account + ".dkr-ecr.eu-west-1.example.net", account + ".dkr.ecr-slow.eu-west-1.amazonaws.com",
		"vpce-0abc.dkr.ecr.eu-west-1.vpce.amazonaws.com", "public.ecr.aws", "ecr-public.aws.com", "api.ecr.eu-west-1.amazonaws.com",
		account + ".dkr.ecr.eu-west-1.amazonaws.com.example.net", "dkr.ecr.eu-west-1.amazonaws.com",
	} {
		for _, origins := range [][]string{nil, {account + "/" + region}} {
			c := connectorOf(t, KindECR)
			c.Host, c.Origins = provenance.Host(host), origins
			if _, err := newEndpoint(c, 1); err == nil || !strings.Contains(err.Error(), "looks like Amazon ECR") {
				t.Errorf("%s, origins %v: %v, want it refused", host, origins, err)
			}
		}
	}
	for _, host := range []provenance.Host{"ecr.example.net", "ecr-proxy.example.net:5000", "proxy-1.elb.eu-west-1.amazonaws.com", "abc.lambda-url.eu-west-1.on.aws"} {
		c := connectorOf(t, KindECR)
		c.Host, c.Origins = host, []string{account + "/" + region}
		if _, err := newEndpoint(c, 1); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	proxied := connectorOf(t, KindECR)
	proxied.Host = "images.example.net"
	for _, origins := range [][]string{nil, {""}, {account}, {account + "/" + region, "x"}} {
		proxied.Origins = origins
		if _, err := newEndpoint(proxied, 1); err == nil || !strings.Contains(err.Error(), "want origins") {
			t.Errorf("origins %v: %v, want them asked for", origins, err)
		}
	}
	proxied.Origins = []string{account + "/" + region}
	if _, err := newEndpoint(proxied, 1); err != nil {
		t.Error(err)
	}
	if !proxied.isOfAccount(account, region) || proxied.isOfAccount(account, "us-east-1") || proxied.isOfAccount("999999999999", region) {
		t.Error("a proxied registry takes others' events, or not its own")
	}
}

// Amazon SNS keeps its password until it is asked for one.
func TestSNSIsAskedForItsPassword(t *testing.T) {
	for kind, want := range map[string]int{KindECR: 2, KindHarbor: 1} {
		c := connectorOf(t, kind)
		w := httptest.NewRecorder()
		handlerOf(t, newSink(), c).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, Prefix+c.Name, strings.NewReader("{}")))
		if got := w.Header().Values("WWW-Authenticate"); w.Code != http.StatusUnauthorized || len(got) != want {
			t.Errorf("%s: %d, %q", kind, w.Code, got)
		}
	}
}
