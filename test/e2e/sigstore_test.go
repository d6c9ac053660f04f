package e2e

import (
	"net/http/httptest"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/waybill-dev/waybill/test/sigstore"
)

// ownSigstore URI ISSUER: starts a Sigstore of the script's own, whose job URI has an
// identity token; writes trusted_root.json, signing_config.json and token.
func ownSigstore(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sigstore URI ISSUER")
	}
	s, err := sigstore.New("script", time.Now)
	ts.Check(err)
	server := httptest.NewServer(s.Handler())
	ts.Defer(server.Close)
	for name, text := range map[string][]byte{
		"trusted_root.json": s.TrustedRoot(), "signing_config.json": sigstore.SigningConfig(server.URL, true),
		"token": []byte(s.Token(sigstore.Identity{URI: args[0], Issuer: args[1]}, time.Hour)),
	} {
		ts.Check(os.WriteFile(ts.MkAbs(name), text, 0o600))
	}
}
