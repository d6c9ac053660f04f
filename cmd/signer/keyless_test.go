package signer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	own "github.com/waybill-dev/waybill/test/sigstore"
)

// serve starts a Sigstore of one's own and returns the services of it.
func serve(t *testing.T, v2 bool) (*own.Instance, Services) {
	t.Helper()
	s, err := own.New("own", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	services, err := ReadServices(own.SigningConfig(server.URL, v2), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s, services
}

var person = own.Identity{Email: "a@example.com", Issuer: "https://accounts.example"}

// TestKeyless: what the bundle holds. That others believe it is shown by their own
// verifier (test/sigstore/oracle), and by the contract's.
func TestKeyless(t *testing.T) {
	for _, v2 := range []bool{false, true} {
		s, services := serve(t, v2)
		statement := []byte(`{"_type":"https://in-toto.io/Statement/v1"}`)
		text, err := services.Sign(t.Context(), s.Token(person, time.Minute), statement)
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			MediaType            string
			VerificationMaterial struct {
				Certificate struct{ RawBytes []byte }
				TlogEntries []struct {
					KindVersion struct{ Kind, Version string }
				}
				TimestampVerificationData struct {
					RFC3161Timestamps []struct{ SignedTimestamp []byte } `json:"rfc3161Timestamps"`
				}
			}
			DSSEEnvelope envelope `json:"dsseEnvelope"`
		}
		if err := json.Unmarshal(text, &b); err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(b.VerificationMaterial.Certificate.RawBytes)
		if err != nil || len(cert.EmailAddresses) != 1 || cert.EmailAddresses[0] != person.Email {
			t.Fatalf("%v, %v", cert, err)
		}
		sum := sha256.Sum256(PreAuth(statementType, b.DSSEEnvelope.Payload))
		if !bytes.Equal(b.DSSEEnvelope.Payload, statement) || !ecdsa.VerifyASN1(cert.PublicKey.(*ecdsa.PublicKey), sum[:], b.DSSEEnvelope.Signatures[0].Sig) {
			t.Error("the signature does not verify")
		}
		want := map[bool]string{false: "dsse 0.0.1", true: "hashedrekord 0.0.2"}[v2]
		if e := b.VerificationMaterial.TlogEntries; len(e) != 1 || e[0].KindVersion.Kind+" "+e[0].KindVersion.Version != want {
			t.Errorf("entries %+v, want %s", e, want)
		}
		if len(b.VerificationMaterial.TimestampVerificationData.RFC3161Timestamps) != 1 {
			t.Error("no timestamp")
		}
	}
}

// TestServicesRefuse: whatever does not answer as it must ends the signature, with a
// word on who it was and without the token.
func TestServicesRefuse(t *testing.T) {
	statement := []byte("{}")
	for path, what := range map[string]string{
		"/api/v2/signingCert": "certify the key", "/api/v1/log/entries": "log the signature", "/api/v1/timestamp": "timestamp the signature",
	} {
		for status, code := range map[int]provenance.Code{403: provenance.Invalid, 429: provenance.Unavailable, 503: provenance.Unavailable} {
			s, services := serve(t, false)
			s.Refuse(path, status)
			token := s.Token(person, time.Minute)
			_, err := services.Sign(t.Context(), token, statement)
			if provenance.CodeOf(err) != code || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), fmt.Sprint(status)) || strings.Contains(err.Error(), token) {
				t.Errorf("%s %d: %v", path, status, err)
			}
		}
	}
	s, services := serve(t, false)
	for name, token := range map[string]string{
		"expired": s.Token(person, -time.Minute), "of another issuer": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.AA", "no token": "hello", "none": "", "huge": strings.Repeat("a", maxToken) + ".b.c",
		"without a subject": "e30.e30.e30",
	} {
		if _, err := services.Sign(t.Context(), token, statement); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadAnswers: services that answer 200 with something else.
func TestBadAnswers(t *testing.T) {
	s, right := serve(t, false)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Errorf("a token went elsewhere: %s", r.Header) }))
	defer elsewhere.Close()
	for name, answer := range map[string]string{
		"nothing": "", "no JSON": "<html>", "empty": "{}", "a list": "[]", "null": "null", "huge": strings.Repeat(" ", maxAnswer+1), "redirect": "",
	} {
		bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name == "redirect" {
				http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
				return
			}
			_, _ = w.Write([]byte(answer))
		}))
		for what, change := range map[string]func(*Services){
			"certificate": func(s *Services) { s.Authority = bad.URL },
			"log 1":       func(s *Services) { s.Logs = []Log{{bad.URL, 1}} },
			"log 2":       func(s *Services) { s.Logs = []Log{{bad.URL, 2}} },
			"timestamp":   func(s *Services) { s.Stamps = []string{bad.URL} },
		} {
			services := right
			change(&services)
			if _, err := services.Sign(t.Context(), s.Token(person, time.Minute), []byte("{}")); err == nil {
				t.Errorf("%s: %s was taken", what, name)
			}
		}
		bad.Close()
	}
}

func TestUnreachable(t *testing.T) {
	s, services := serve(t, false)
	services.Authority = "http://127.0.0.1:1"
	if _, err := services.Sign(t.Context(), s.Token(person, time.Minute), nil); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, services = serve(t, false)
	if _, err := services.Sign(ctx, s.Token(person, time.Minute), nil); err == nil {
		t.Error("signed after the end")
	}
}
