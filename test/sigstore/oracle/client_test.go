package oracle

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/waybill-dev/waybill/cmd/signer"
	own "github.com/waybill-dev/waybill/test/sigstore"
)

// TestOthersClient: the own Sigstore answers the others' client as it expects, so
// that what the command asks for is what is asked for out there.
func TestOthersClient(t *testing.T) {
	s, err := own.New("served", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	id := own.Identity{URI: "https://git.example/team/app/release", Issuer: "https://token.git.example"}
	for _, version := range []uint32{1, 2} {
		config, err := root.NewSigningConfigFromJSON(own.SigningConfig(server.URL, version == 2))
		if err != nil {
			t.Fatal(err)
		}
		if got := config.RekorLogURLs()[0].MajorAPIVersion; got != version {
			t.Fatalf("version %d", got)
		}
		trusted, err := root.NewTrustedRootFromJSON(s.TrustedRoot())
		if err != nil {
			t.Fatal(err)
		}
		key, err := sign.NewEphemeralKeypair(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = sign.Bundle(&sign.DSSEData{Data: []byte(`{"_type":"https://in-toto.io/Statement/v1"}`), PayloadType: "application/vnd.in-toto+json"}, key, sign.BundleOptions{
			CertificateProvider:        sign.NewFulcio(&sign.FulcioOptions{BaseURL: config.FulcioCertificateAuthorityURLs()[0].URL}),
			CertificateProviderOptions: &sign.CertificateProviderOptions{IDToken: s.Token(id, time.Minute)},
			TimestampAuthorities:       []*sign.TimestampAuthority{sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: config.TimestampAuthorityURLs()[0].URL})},
			TransparencyLogs:           []sign.Transparency{sign.NewRekor(&sign.RekorOptions{BaseURL: config.RekorLogURLs()[0].URL, Version: version})},
			TrustedRoot:                trusted, Context: t.Context(),
		})
		if err != nil {
			t.Errorf("Rekor v%d: %v", version, err)
		}
	}
}

// TestOurClient: what the command signs without a key verifies here and there.
func TestOurClient(t *testing.T) {
	s, err := own.New("served", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	for name, services := range map[string]signer.Services{
		"log 1":               {Authority: server.URL, Logs: []signer.Log{{URL: server.URL, Version: 1}}},
		"log 1 and timestamp": {Authority: server.URL, Logs: []signer.Log{{URL: server.URL, Version: 1}}, Stamps: []string{server.URL + "/api/v1/timestamp"}},
		"log 2":               {Authority: server.URL, Logs: []signer.Log{{URL: server.URL, Version: 2}}, Stamps: []string{server.URL + "/api/v1/timestamp"}},
		"both logs":           {Authority: server.URL, Logs: []signer.Log{{URL: server.URL, Version: 2}, {URL: server.URL, Version: 1}}, Stamps: []string{server.URL + "/api/v1/timestamp"}},
	} {
		text, err := services.Sign(t.Context(), s.Token(own.Identity{Email: "a@example.com", Issuer: "https://accounts.example"}, time.Minute), statement())
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(text) {
			t.Fatalf("%s: %s", name, text)
		}
		signed := sample{name, text, s.TrustedRoot(), digestOf([]byte(artifact)), time.Now()}
		if wrong, _, took := signed.compare(); wrong != "" || !took {
			t.Errorf("%s: %s: ours %v, theirs %v", name, wrong, signed.ours(), signed.theirs())
		}
	}
}
