package sigstore_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/cmd/signer"
	"github.com/waybill-dev/waybill/test/sigstore"
)

const (
	issuer   = "https://token.git.example"
	workflow = "https://git.example/team/app/.ci/release.yml@refs/heads/main"
)

func job() sigstore.Identity { return sigstore.Identity{URI: workflow, Issuer: issuer} }

const byJob = `{"identity":"` + workflow + `","issuer":"` + issuer + `"}`

// kinds of proof that a bundle may have of its time.
func kinds() map[string]sigstore.Evidence {
	return map[string]sigstore.Evidence{
		"Rekor v1": {V1: true}, "Rekor v1, a promise": {Promise: true, Version: "0.1", Chain: true}, "Rekor v1, bundle v0.2": {V1: true, Version: "0.2", Chain: true},
		"Rekor v2": {V2: true, Stamp: true}, "Rekor v1 and a timestamp": {V1: true, Stamp: true},
	}
}

// TestLife is a Sigstore's: what it signed is verified long after its certificates
// ended, and goes on to count while its logs and authorities are rotated, and new
// evidence comes from the new ones. When one of them is trusted only until a date, what
// it vouched for after that date counts no more, and what it vouched for before does.
func TestLife(t *testing.T) {
	for name, with := range kinds() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, byJob)
			s := w.sigstore("public")
			w.share("public", s.TrustedRoot())
			w.expect("nothing yet", policy.Unmet)

			first := w.attest(s, job(), with)
			w.now = w.now.AddDate(1, 0, 0) // the certificate lived ten minutes
			if got, err := w.bring("", "public", first); err != nil || !got.Counts {
				t.Fatalf("a year later: %+v, %v", got, err)
			}
			w.expect("a year later", policy.Satisfied)

			log := sigstore.RekorV1
			if with.V2 {
				log = sigstore.RekorV2
			}
			for _, kind := range []sigstore.Kind{log, sigstore.CA, sigstore.CTLog, sigstore.TSA} {
				if err := s.Rotate(kind); err != nil {
					t.Fatal(err)
				}
				w.now = w.now.Add(time.Hour)
			}
			second := w.attest(s, job(), with)
			if _, err := w.bring("", "public", second); provenance.CodeOf(err) != provenance.BadEvidence {
				t.Errorf("by authorities that nobody voted for: %v", err)
			}
			w.share("public", s.TrustedRoot())
			w.expect("after the rotation", policy.Satisfied)
			if got, err := w.bring("", "public", second); err != nil || !got.Counts {
				t.Fatalf("by the new ones: %+v, %v", got, err)
			}
			w.expect("by the new ones", policy.Satisfied)

			// The new authority's key got out, a day after the second was signed.
			w.now = w.now.AddDate(0, 0, 1)
			out := w.now
			w.now = w.now.AddDate(0, 0, 1)
			third := w.attest(s, job(), with)
			if got, err := w.bring("", "public", third); err != nil || !got.Counts {
				t.Fatalf("before anybody knew: %+v, %v", got, err)
			}
			s.End(sigstore.CA, out)
			w.share("public", s.TrustedRoot())
			w.expect("the newest counts no more, and no older word comes back", policy.Unmet)
			if _, err := w.bring("", "public", w.attest(s, job(), with)); provenance.CodeOf(err) != provenance.BadEvidence {
				t.Errorf("signed after its end: %v", err)
			}
			// Whoever signs again below a good authority is believed again.
			if err := s.Rotate(sigstore.CA); err != nil {
				t.Fatal(err)
			}
			w.share("public", s.TrustedRoot())
			if got, err := w.bring("", "public", w.attest(s, job(), with)); err != nil || !got.Counts {
				t.Fatalf("%+v, %v", got, err)
			}
			w.expect("signed again", policy.Satisfied)
		})
	}
}

// TestRevokedFromADate takes every kind of authority back from a date, with one piece of
// evidence before and one after it.
func TestRevokedFromADate(t *testing.T) {
	with := sigstore.Evidence{V1: true, V2: true, Stamp: true}
	for _, kind := range []sigstore.Kind{sigstore.CA, sigstore.CTLog, sigstore.RekorV1, sigstore.RekorV2, sigstore.TSA} {
		for _, after := range []bool{false, true} {
			w := newWorld(t, byJob)
			s := w.sigstore("public")
			w.share("public", s.TrustedRoot())
			until := w.now.AddDate(0, 0, 7)
			if after {
				w.now = w.now.AddDate(0, 0, 14)
			}
			if _, err := w.bring("", "public", w.attest(s, job(), with)); err != nil {
				t.Fatal(err)
			}
			w.expect("trusted", policy.Satisfied)
			w.now = until.AddDate(0, 1, 0)
			s.End(kind, until)
			w.share("public", s.TrustedRoot())
			if want := map[bool]policy.Outcome{false: policy.Satisfied, true: policy.Unmet}[after]; w.outcome() != want {
				t.Errorf("%s, signed after its end %v: %s, want %s", kind, after, w.outcome(), want)
			}
		}
	}
}

// TestSignedByTheCommand: what `waybill attest` makes of an identity token, by the
// services of both generations, counts a year later.
func TestSignedByTheCommand(t *testing.T) {
	for _, version := range []int{1, 2} {
		w := newWorld(t, byJob)
		s := w.sigstore("public")
		w.share("public", s.TrustedRoot())
		server := httptest.NewServer(s.Handler())
		services := signer.Services{Authority: server.URL, Logs: []signer.Log{{URL: server.URL, Version: version}}, Stamps: []string{server.URL + "/api/v1/timestamp"}}
		bundle, err := services.Sign(t.Context(), s.Token(job(), time.Minute), tested("PASSED", version))
		server.Close()
		if err != nil {
			t.Fatal(err)
		}
		w.now = w.now.AddDate(1, 0, 0)
		if got, err := w.bring("", "public", bundle); err != nil || !got.Counts {
			t.Fatalf("log of version %d: %+v, %v", version, got, err)
		}
		w.expect("signed by the command", policy.Satisfied)
	}
}

// TestOwnAndShared: an organisation's own root verifies for rules that name the
// organisation, and never passes for the one that members share.
func TestOwnAndShared(t *testing.T) {
	w := newWorld(t, byJob)
	own, public := w.sigstore("own"), w.sigstore("public")
	w.share("public", public.TrustedRoot())
	w.do("SecurityMSP", "admin", "trust:Add", "own", string(own.TrustedRoot()), "the test")
	with := sigstore.Evidence{V1: true}
	if _, err := w.bring("", "public", w.attest(own, job(), with)); provenance.CodeOf(err) != provenance.BadEvidence {
		t.Errorf("of its own, below the shared one: %v", err)
	}
	if _, err := w.bring("SecurityMSP", "own", w.attest(public, job(), with)); provenance.CodeOf(err) != provenance.BadEvidence {
		t.Errorf("shared, below its own: %v", err)
	}
	if _, err := w.bring("SecurityMSP", "own", w.attest(own, job(), with)); err != nil {
		t.Error(err)
	}
	w.expect("by its own root, for a rule on the shared one", policy.Unmet)
	if _, err := w.bring("", "public", w.attest(public, job(), with)); err != nil {
		t.Error(err)
	}
	w.expect("by the shared one", policy.Satisfied)
}
